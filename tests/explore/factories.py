"""Sensitivities and mixed-precision Reports made by hand, for pages to draw."""

from __future__ import annotations

import random
from dataclasses import replace

from qcore.formats.format import FORMATS
from qcore.precision.budget import Assigner
from qcore.precision.counting import average_bits
from qcore.precision.layers import LayerSize
from qcore.precision.table import SensitivityTable
from qcore.recipe import Recipe
from qcore.report.report import LayerReport, Metric, PrecisionReport, Report, Trajectory
from tests.report.factories import report_of

FORMATS_MEASURED = ("mxfp4", "mxfp6_e2m3", "mxfp8_e4m3")
LEFT = (1.0, 0.06, 0.01)
"""What each format costs, as a share of the narrowest one's cost."""


def layer_sizes(blocks: int = 3, hidden: int = 64, feed: int = 128) -> tuple[LayerSize, ...]:
    """All linears of a small Llama; k and v are a quarter as wide as q."""
    shapes = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (hidden, hidden // 4),
        "self_attn.v_proj": (hidden, hidden // 4),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (hidden, feed),
        "mlp.up_proj": (hidden, feed),
        "mlp.down_proj": (feed, hidden),
    }
    return tuple(
        LayerSize(f"{block}.{path}", block, path.rsplit(".", 1)[1], inputs, outputs)
        for block in range(blocks)
        for path, (inputs, outputs) in shapes.items()
    )


def sensitivities(
    layers: tuple[LayerSize, ...] | None = None, *, negative: str = ""
) -> SensitivityTable:
    """Costs that fall with the width; down_proj and v_proj stand out.

    Args:
        layers: of which network; the small one by default.
        negative: a layer that loses less than nothing, as a loss on one batch may show.
    """
    layers = layers or layer_sizes()
    draw = random.Random(0)
    rows = []
    for layer in layers:
        loud = 6.0 if layer.projection in ("down_proj", "v_proj") else 1.0
        cost = loud * 10 ** draw.gauss(-2.8, 0.35) * (1 + 2 * (layer.block == 0))
        sign = -1.0 if layer.name == negative else 1.0
        rows.append(tuple(sign * cost * share for share in LEFT))
    kl = tuple(rows)
    loss = tuple(tuple(1.2 * cost for cost in row) for row in kl)
    return SensitivityTable(layers, FORMATS_MEASURED, kl, loss, (), 255)


def recipe_of(method: str = "knapsack", budget: float | None = 5.0, **changes) -> Recipe:
    """MX weights and inputs under a budget; `changes` are to the precision part."""
    seed = changes.pop("seed", 0)
    return Recipe.from_dict(
        {
            "weights": {"format": "mxfp4"},
            "activations": {"format": "mxfp4"},
            "precision": {"method": method, "budget": budget, **changes},
            "scales": {"method": "absmax"},
            "rounding": {"method": "rtn"},
            "seed": seed,
        }
    )


def mixed_report(
    recipe: Recipe, table: SensitivityTable | None = None, *, scale: float = 1.3, **changes
) -> Report:
    """A Report of a run that spent its budget by `table`; its KL is `scale` × the sum."""
    table, part = table or sensitivities(), recipe.precision
    assert part is not None
    offsets = {layer.name: _final(table, at) for at, layer in enumerate(table.layers)}
    solver = Assigner(table.layers, part, table=table, offsets=offsets, seed=recipe.seed)
    solved = solver.at(part.budget)
    assert solved.cost is not None
    path = _trajectory(offsets) if part.method == "dmx" else None
    layers = tuple(
        LayerReport(
            name=layer.name,
            block=layer.block,
            projection=layer.projection,
            format=solved.formats[layer.name],
            parameters=layer.weights,
            element_bits=FORMATS[solved.formats[layer.name]].bits,
            bits_per_weight=FORMATS[solved.formats[layer.name]].bits_per_weight(layer.inputs),
            weight_error=0.01,
        )
        for layer in table.layers
    )
    kl = scale * solved.cost
    made = report_of(recipe, perplexity=30.0 * (1 + kl))
    bits = average_bits(
        solved.formats, table.layers, replace(part, objective="bytes", weighting="size")
    )
    return replace(
        made,
        assignment=solved.formats,
        layers=layers,
        metrics=(
            *(metric for metric in made.metrics if metric.name == "perplexity"),
            Metric("kl", kl, "nats/token", "mean KL", 4088, kl * 0.93, kl * 1.08),
            Metric("loss_increase", kl * 1.1, "nats/token", "mean difference", 4088),
        ),
        volume=replace(made.volume, bits_per_weight=bits),
        precision=PrecisionReport(solved.bits, solved.cost, solved.note, path),
        **changes,
    )


def _final(table: SensitivityTable, at: int) -> float:
    return min(2.0, table.kl[at][0] * 150)


def _trajectory(offsets: dict[str, float]) -> Trajectory:
    steps = tuple(range(0, 120, 2))
    return Trajectory(
        steps=steps,
        loss=tuple(3.4 + 0.3 * 0.97**step for step in steps),
        bits=tuple(6 - step / 120 for step in steps),
        temperature=tuple(8.0 if step < 72 else 8.0 * 50 ** ((step - 72) / 48) for step in steps),
        offsets={
            name: tuple(final * step / steps[-1] for step in steps)
            for name, final in offsets.items()
        },
    )
