"""What the Bits page says: labels of formats and measures, headlines, sentences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pages._ui import columns, wording
from pages._ui.bits.forecast import Forecast
from qcore.formats.format import FORMATS
from qcore.precision.table import Costs
from qcore.recipe import Precision
from qcore.recipe.titles import format_label
from qcore.report import metrics

if TYPE_CHECKING:
    from pages._ui.bits.engine import Case
    from qcore.precision.layers import LayerSize


MEASURES = {
    "kl": ("KL", "nats/token"),
    "loss": ("loss increase", "nats/token"),
    "proxy": ("relative output error", ""),
}
"""Names and units of the measures of what a format costs a layer."""

COUNTS = {
    "weights": "per weight",
    "both": "per weight and input",
    "bytes": "per weight, scales included",
}
"""Labels of what a budget counts."""

STEP = 0.25
"""How much larger the budget is with which the page compares, in bits."""


def widths_label(names: Collection[str]) -> dict[str, str]:
    """What stands in a map's cell: the width alone where it tells the formats apart."""
    widths = {name: str(FORMATS[name].bits) for name in names}
    alone = len(set(widths.values())) == len(widths)
    return {
        name: width if alone else format_label(name).removeprefix("MXFP")
        for name, width in widths.items()
    }


def short_projection(name: str) -> str:
    """`down` for `down_proj`."""
    return name.removesuffix("_proj")


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
                f"Predicted {metrics.metric_label(case.score.column)}",
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


def colour_label(measure: str, shown: str) -> str:
    """What `values` are, with their unit: `KL in MXFP4 (nats/token)`."""
    name, unit = MEASURES[measure]
    if shown == "saved":
        return f"{name} saved per million bits" + (f" ({unit})" if unit else "")
    return f"{name} in {format_label(shown)}" + (f" ({unit})" if unit else "")


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


def moves_sentence(table: pd.DataFrame, what: str) -> str:
    """Which way the layers of `moves` went, in a sentence."""
    if table.empty:
        return f"{what} changes no layer."
    bits = [
        (FORMATS[before].bits, FORMATS[after].bits)
        for before, after in zip(
            columns.words(table, "from"), columns.words(table, "to"), strict=True
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
    bits, weights = columns.numbers(table, "bits"), columns.numbers(table, "weights")
    mean = float((bits * weights).sum() / weights.sum())
    order = np.argsort(-bits, kind="stable")
    names = columns.words(table, "projection")
    above = [f"{names[at]} ({bits[at]:.2f})" for at in order if bits[at] > mean + 1e-9]
    if not above:
        return "All projections have the same average."
    return f"Wider than the average of {mean:.2f} bits per weight: {', '.join(above)}."


def counts(formats: Mapping[str, str]) -> str:
    """`150 MXFP4 · 60 MXFP8 E4M3`: layers by format."""
    used = sorted(set(formats.values()), key=lambda name: FORMATS[name].bits)
    names = list(formats.values())
    return " · ".join(f"{names.count(name)} {format_label(name)}" for name in used)


def rests_on(found: Forecast) -> str:
    """How much a forecast rests on, in a sentence."""
    runs = found.calibration.runs
    if not runs:
        return (
            "No run has been measured yet, so the prediction is the plain sum of sensitivities "
            "and its band is wide."
        )
    if runs == 1:
        return (
            "The prediction is calibrated on 1 measured run, so its band is rough: more runs at "
            "other budgets would narrow it."
        )
    return (
        f"The prediction is calibrated on {wording.count(runs, 'measured run')}; 95 % of new ones "
        "should fall into its band."
    )
