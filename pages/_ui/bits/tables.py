"""Assignments, sensitivities and trajectories to words and tables, pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pages._ui.runs import tables
from qcore.formats.format import FORMATS
from qcore.precision.table import Costs, cost_of
from qcore.recipe import Precision, titles
from qcore.report.report import Report
from qcore.report.summary import Summary

if TYPE_CHECKING:
    from qcore.precision.layers import LayerSize
    from qcore.precision.table import SensitivityTable


def formats_of(report: Report) -> dict[str, str]:
    """The format of every quantized layer."""
    return {layer.name: layer.format for layer in report.layers}


def projections(layers: Sequence[LayerSize]) -> list[str]:
    """The projections in the order in which a block runs them."""
    return list(dict.fromkeys(layer.projection for layer in layers))


def measured(
    runs: Sequence[Summary],
    formats: Mapping[str, Mapping[str, str]],
    layers: Sequence[LayerSize],
    part: Precision,
    group: int | None,
    table: SensitivityTable | None = None,
) -> pd.DataFrame:
    """Comparable runs as `runs.tables.runs`, their bits counted by one rule, whatever theirs was.

    Args:
        runs: of one comparison group.
        formats: by run, of every layer.
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
    for run in runs:
        given, asked = formats.get(run.id, {}), run.recipe.precision
        if names and names <= given.keys():
            bits = average_bits(given, layers, part, group=group)
        elif not names and run.budget_bits is not None:
            bits = run.budget_bits
        else:
            continue
        budget = asked.budget if asked is not None else None
        own = {
            "bits": bits,
            "budget": math.nan if budget is None else budget,
            "seed": run.recipe.seed,
            "cost": cost_of(given, costs),
            # All layers alike: what `uniform` gives where the budget is a format's width.
            **({} if asked is not None else {"method": titles.BUDGET_METHODS["uniform"]}),
        }
        rows.append(tables.row(run) | own)
    return tables.runs(rows)


def values_of(costs: Costs, shown: str, layers: Sequence[LayerSize]) -> dict[str, float]:
    """Values that colour the map of sensitivities, by layer.

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
