"""Dividing a bit budget among 32 layers × 7 projections × 4 formats: under 50 ms for any budget.

Sizes of an 8-billion-parameter Llama, whose shapes share a large factor, and of one whose MLP was
expanded to a width that shares none; costs are drawn at random, which no solver can exploit.
Preparing is done once for a network, its sensitivities and constraints; solving for each budget.
Run: python -m benchmarks.assignment
"""

import argparse
import random
import time

from benchmarks._measure import interleave, save, table
from qcore.precision.budget import Assigner
from qcore.precision.layers import SITE_OF, LayerSize
from qcore.precision.table import SensitivityTable
from qcore.recipe.precision import Precision

BLOCKS, BUDGETS = 32, 40
FORMATS = ("int2", "int4", "int6", "int8")
GOAL_MS = 50.0
ODD_FFN = 14367


def layers_of(ffn: int) -> tuple[LayerSize, ...]:
    hidden, keys = 4096, 1024
    widths = {"k_proj": (hidden, keys), "v_proj": (hidden, keys), "down_proj": (ffn, hidden)}
    widths |= dict.fromkeys(("gate_proj", "up_proj"), (hidden, ffn))
    return tuple(
        LayerSize(f"{block}.{name}", block, name, *widths.get(name, (hidden, hidden)))
        for block in range(BLOCKS)
        for name in SITE_OF
    )


def table_of(layers: tuple[LayerSize, ...]) -> SensitivityTable:
    draw = random.Random(0)
    scales = [10 ** draw.uniform(-5, -2) for _ in layers]
    rows = tuple(tuple(s * 16.0**-at * draw.uniform(0.5, 2) for at in range(4)) for s in scales)
    return SensitivityTable(layers, FORMATS, rows, rows, (), 255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    rows = []
    for sizes, ffn in (("8B", 14336), ("8B, odd width", ODD_FFN)):
        layers = layers_of(ffn)
        costs = table_of(layers)
        for objective in ("weights", "both", "bytes"):
            for fused in (True, False):
                part = Precision("knapsack", 5.0, FORMATS, objective, fused=fused)
                rows.append(
                    {"sizes": sizes, "objective": objective, "fused": fused}
                    | measured(layers, part, costs, given.repeats)
                )
    print(table(rows))
    save("assignment", rows)


def measured(
    layers: tuple[LayerSize, ...], part: Precision, costs: SensitivityTable, repeats: int
) -> dict[str, object]:
    prepared = Assigner(layers, part, table=costs)
    low, high = prepared.reach
    budgets = [low + (high - low) * at / BUDGETS for at in range(1, BUDGETS)]
    solved = [prepared.at(budget) for budget in budgets]

    def prepare():
        return Assigner(layers, part, table=costs).at(5.0)

    once = interleave({"prepare": prepare}, repeats=repeats)["prepare"]
    slowest = 0.0
    for budget in budgets:
        best = float("inf")
        for _ in range(repeats):
            start = time.process_time()
            prepared.at(budget)
            best = min(best, time.process_time() - start)
        slowest = max(slowest, best)
    return {
        "prepare_ms": 1000 * once,
        "slowest_solve_ms": 1000 * slowest,
        "goal_ms": GOAL_MS,
        "exact": all(found.optimal for found in solved),
        "widest_gap": max((found.gap or 0.0) / (found.cost or 1.0) for found in solved),
    }


if __name__ == "__main__":
    main()
