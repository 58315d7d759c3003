"""Assignments, sensitivities and trajectories to words and tables, pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pages._ui import frames, wording
from qcore.formats.format import FORMATS
from qcore.recipe import Precision
from qcore.report import Report

if TYPE_CHECKING:
    from pages._ui.bits_desk import Case
    from qcore.precision.layers import LayerSize
    from qcore.precision.table import SensitivityTable

Costs = Mapping[str, Mapping[str, float]]
"""What each layer costs in each format: by layer name, then by format name."""

MEASURES = {
    "kl": ("KL", "nats/token"),
    "loss": ("loss increase", "nats/token"),
    "proxy": ("relative output error", ""),
}
"""What a format costs a layer: as people call it, and its unit."""

COUNTS = {
    "weights": "per weight",
    "both": "per weight and input",
    "bytes": "per weight, scales included",
}
"""What a budget counts."""

STEP = 0.25
"""How much larger the budget is with which the page compares, in bits."""


def formats_of(report: Report) -> dict[str, str]:
    """The format of every quantized layer."""
    return {layer.name: layer.format for layer in report.layers}


def format_label(name: str) -> str:
    """`MXFP4`, `MXFP6 E2M3`, `INT4`."""
    return name.upper().replace("_", " ")


def widths_label(names: Collection[str]) -> dict[str, str]:
    """What stands in a map's cell: the width alone where it tells the formats apart."""
    widths = {name: str(FORMATS[name].bits) for name in names}
    alone = len(set(widths.values())) == len(widths)
    return {
        name: width if alone else format_label(name).removeprefix("MXFP")
        for name, width in widths.items()
    }


def projections(layers: Sequence[LayerSize]) -> list[str]:
    """The projections in the order in which a block runs them."""
    return list(dict.fromkeys(layer.projection for layer in layers))


def short_projection(name: str) -> str:
    """`down` for `down_proj`."""
    return name.removesuffix("_proj")


def measured(
    reports: Sequence[Report],
    layers: Sequence[LayerSize],
    part: Precision,
    group: int | None,
    table: SensitivityTable | None = None,
) -> pd.DataFrame:
    """A contest's runs as `frames.runs`, their bits counted by one rule, whatever theirs was.

    Args:
        reports: of one contest.
        layers: all layers of the network; without any, bits are as each run counted its own.
        part: whose objective, weighting and measure count.
        group: weights that share a scale (INT formats).
        table: what each layer costs in each format.

    Returns:
        Rows with `bits` (by the rule), `budget` (asked), `seed` and `cost` (sum of sensitivities,
        NaN where they are not known) beside the usual columns; runs whose bits are not known are
        left out.
    """
    from qcore.precision.counting import average_bits

    names = {layer.name for layer in layers}
    costs: Costs = table.cost(part.probe.measure) if table is not None else {}
    rows = []
    for report in reports:
        formats, asked = formats_of(report), report.recipe.precision
        if names and names <= formats.keys():
            bits = average_bits(formats, layers, part, group=group)
        elif not names and report.precision is not None:
            bits = report.precision.bits
        else:
            continue
        budget = asked.budget if asked is not None else None
        own = {
            "bits": bits,
            "budget": math.nan if budget is None else budget,
            "seed": report.recipe.seed,
            "cost": cost_of(formats, costs),
            # All layers alike: what `uniform` gives where the budget is a format's width.
            **({} if asked is not None else {"method": frames.BUDGET_METHODS["uniform"]}),
        }
        rows.append(frames.summary(report) | own)
    return frames.runs(rows)


def cost_of(formats: Mapping[str, str], costs: Costs) -> float:
    """Sum of an assignment's sensitivities; NaN where one is not known."""
    return math.fsum(costs.get(layer, {}).get(name, math.nan) for layer, name in formats.items())


def pinned(layers: Sequence[LayerSize], part: Precision) -> set[str]:
    """The layers that a pin fixes, those that are fused with a pinned one included."""
    named = {pin.layer for pin in part.pins}
    direct = [x for x in layers if {x.name, x.projection, str(x.block)} & named]
    sites = {layer.site for layer in direct} if part.fused else set()
    return {layer.name for layer in [*direct, *(x for x in layers if x.site in sites)]}


def bits_label(part: Precision) -> str:
    """What the budget counts, as the label of an axis."""
    mean = "mean over layers" if part.weighting == "layers" else "average"
    return f"{mean} of bits {COUNTS[part.objective]}"


def headlines(case: Case) -> list[tuple[str, str, str, str]]:
    """(label, value, what stands under it, meaning) of the numbers above the figures."""
    part, solved, layers = case.part, case.solved, case.table.layers
    name, unit = MEASURES[part.probe.measure]
    narrow = part.narrow_to_wide[0]
    widened = sum(given != narrow for given in solved.formats.values())
    rows = [
        (
            "Average bits",
            f"{solved.bits:.3f}",
            f"budget {case.budget:.2f}",
            f"{bits_label(part).capitalize()}. What is left over no layer could use."
            + (f" {solved.note.capitalize()}." if solved.note else ""),
        )
    ]
    if case.forecast is not None and solved.cost is not None:
        told = case.forecast.of(solved.cost)
        rows.append(
            (
                f"Predicted {frames.metric_label(case.score.column)}",
                wording.significant(told.value, 3),
                wording.interval(told.low, told.high, 3),
                "With the band in which 95 % of new runs should fall. Run it to know.",
            )
        )
    rows += [
        (
            f"Sum of {name}",
            f"{wording.significant(solved.cost, 3)} {unit}".strip(),
            "the least there is" if solved.optimal else "",
            "Every layer quantized alone, added up. Errors meet in a network, so the sum only "
            "orders assignments; the prediction is calibrated on measured runs.",
        ),
        (
            "Layers widened",
            f"{widened} of {len(layers)}",
            counts(solved.formats),
            f"Layers with more bits than {format_label(narrow)}.",
        ),
        (
            "Quantized weights",
            wording.size(case.stored_bytes),
            "scales included",
            "What the decoder's linear layers occupy; embeddings and norms stay in float.",
        ),
    ]
    return rows


def values(costs: Costs, shown: str, layers: Sequence[LayerSize]) -> dict[str, float]:
    """What colours the map of sensitivities, by layer.

    Args:
        costs: by layer and format.
        shown: a format, for what it costs; or `saved`, for what the widest format saves over the
            narrowest per million bits that it takes.
        layers: with their sizes.
    """
    if shown != "saved":
        return {layer.name: costs[layer.name][shown] for layer in layers}
    names = sorted(costs[layers[0].name], key=lambda name: FORMATS[name].bits)
    narrow, wide = names[0], names[-1]
    step = FORMATS[wide].bits - FORMATS[narrow].bits
    return {
        layer.name: (costs[layer.name][narrow] - costs[layer.name][wide])
        / (step * layer.weights / 1e6)
        for layer in layers
    }


def colour_label(measure: str, shown: str) -> str:
    """What `values` are, with their unit: `KL in MXFP4 (nats/token)`."""
    name, unit = MEASURES[measure]
    if shown == "saved":
        return f"{name} saved per million bits" + (f" ({unit})" if unit else "")
    return f"{name} in {format_label(shown)}" + (f" ({unit})" if unit else "")


def assignment_table(
    layers: Sequence[LayerSize], formats: Mapping[str, str], costs: Costs, pinned: Collection[str]
) -> pd.DataFrame:
    """The map as a table: one row per layer, with what each format costs it."""
    table = pd.DataFrame(
        {
            "layer": [layer.name for layer in layers],
            "block": [layer.block for layer in layers],
            "projection": [layer.projection for layer in layers],
            "weights": [layer.weights for layer in layers],
            "format": [formats[layer.name] for layer in layers],
            "pinned": [layer.name in pinned for layer in layers],
        }
    )
    for name in sorted(next(iter(costs.values()), {}), key=lambda name: FORMATS[name].bits):
        table[f"cost/{name}"] = [costs[layer.name][name] for layer in layers]
    return table


def projection_table(
    layers: Sequence[LayerSize], formats: Mapping[str, str], costs: Costs, narrowest: str
) -> pd.DataFrame:
    """One row per projection: its mean element bits, and how its weights are shared over formats.

    `cost` is the sum of what the narrowest format costs its layers, NaN without sensitivities.
    """
    rows: list[dict[str, Any]] = []
    used = sorted(set(formats.values()), key=lambda name: FORMATS[name].bits)
    for projection in projections(layers):
        own = [layer for layer in layers if layer.projection == projection]
        weights = sum(layer.weights for layer in own)
        spent = sum(layer.weights * FORMATS[formats[layer.name]].bits for layer in own)
        shares = {
            f"share/{name}": sum(x.weights for x in own if formats[x.name] == name) / weights
            for name in used
        }
        cost = math.fsum(costs.get(x.name, {}).get(narrowest, math.nan) for x in own)
        rows.append(
            {"projection": projection, "bits": spent / weights, "weights": weights, **shares}
            | {"cost": cost}
        )
    return pd.DataFrame.from_records(rows)


def layer_sentence(layer: LayerSize, given: str, costs: Costs, measure: str) -> str:
    """`3.mlp.down_proj has 884,736 weights, now in MXFP4. KL: 0.0123 in MXFP4, …`."""
    name, unit = MEASURES[measure]
    known = ", ".join(
        f"{wording.significant(cost, 3)} in {format_label(each)}"
        for each, cost in costs.get(layer.name, {}).items()
    )
    return (
        f"{layer.name}: {wording.count(layer.weights, 'weight')}, now in {format_label(given)}. "
        f"{name[:1].upper()}{name[1:]} with it alone quantized: {known} {unit}".strip()
        + "."
    )


def moves(
    layers: Sequence[LayerSize],
    before: Mapping[str, str],
    after: Mapping[str, str],
    costs: Costs,
) -> pd.DataFrame:
    """The layers in which two assignments differ, largest saving first.

    `saved` is what the layer costs before, less what it costs after.
    """
    changed = [layer for layer in layers if before[layer.name] != after[layer.name]]

    def saved(name: str) -> float:
        known = costs.get(name, {})
        return known.get(before[name], math.nan) - known.get(after[name], math.nan)

    table = pd.DataFrame(
        {
            "layer": [layer.name for layer in changed],
            "from": [before[layer.name] for layer in changed],
            "to": [after[layer.name] for layer in changed],
            "weights": [layer.weights for layer in changed],
            "saved": np.array([saved(layer.name) for layer in changed], dtype=np.float64),
        }
    )
    return table.sort_values("saved", ascending=False, kind="stable", ignore_index=True)


def moves_sentence(table: pd.DataFrame, what: str) -> str:
    """Which way the layers of `moves` went, in a sentence."""
    if table.empty:
        return f"{what} changes no layer."
    bits = [
        (FORMATS[before].bits, FORMATS[after].bits)
        for before, after in zip(
            frames.words(table, "from"), frames.words(table, "to"), strict=True
        )
    ]
    wider = sum(after > before for before, after in bits)
    narrower = sum(after < before for before, after in bits)
    parts = [
        f"{wording.count(count, 'layer')} {word}"
        for count, word in ((wider, "wider"), (narrower, "narrower"))
        if count
    ]
    return f"{what} makes {' and '.join(parts)}."


def kept_wide(table: pd.DataFrame) -> str:
    """Which projections of a `projection_table` have more bits than the average, in a sentence."""
    bits, weights = frames.numbers(table, "bits"), frames.numbers(table, "weights")
    mean = float((bits * weights).sum() / weights.sum())
    order = np.argsort(-bits, kind="stable")
    names = frames.words(table, "projection")
    above = [f"{names[at]} ({bits[at]:.2f})" for at in order if bits[at] > mean + 1e-9]
    if not above:
        return "All projections have the same average."
    return f"Wider than the average of {mean:.2f} bits per weight: {', '.join(above)}."


def counts(formats: Mapping[str, str]) -> str:
    """`150 MXFP4 · 60 MXFP8 E4M3`: layers by format."""
    used = sorted(set(formats.values()), key=lambda name: FORMATS[name].bits)
    names = list(formats.values())
    return " · ".join(f"{names.count(name)} {format_label(name)}" for name in used)


def trajectory_table(report: Report) -> pd.DataFrame:
    """DMX's training: one row per step, one column per layer's offset."""
    path = report.precision.trajectory if report.precision else None
    if path is None:
        return pd.DataFrame({"step": []})
    return pd.DataFrame(
        {
            "step": path.steps,
            "loss": path.loss,
            "bits": path.bits,
            "temperature": path.temperature,
            **{f"offset/{layer}": offsets for layer, offsets in path.offsets.items()},
        }
    )
