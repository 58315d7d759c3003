"""C8: a page's rerun on the server at 1,000 and 10,000 runs.

Times all that the Pareto page computes when a selection changes, its dearest rerun: the index's
look at the folder, the figure, its JSON, the table's Arrow bytes. The rows are made up on the spot:
the page reads a report once, when it is new, and never again.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import plotly
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _measure
from pages._ui.runs import charts, tables
from pages._ui.runs.engine import RunTable
from qcore.report import metrics
from qcore.report.index import Index
from qcore.report.labels import Labels
from qcore.report.library import Library

REPEATS = 60
LIMIT_MS = 50.0
GROWTH = 2.0


def rows(count: int) -> list[dict]:
    """Runs of four methods with plausible numbers."""
    rng = np.random.default_rng(0)
    bits = rng.uniform(2, 9, count)
    perplexity = 30 + 200 * np.exp(-bits) * rng.uniform(0.8, 1.2, count)
    methods = ("RTN", "GPTQ", "Qronos", "GPFQ")
    return [
        {
            "id": f"{i:016x}",
            "created": float(i),
            "title": f"W INT4 g64 · {methods[i % 4]} · MSE",
            "short": f"INT4 g64 {methods[i % 4]}",
            "method": methods[i % 4],
            "model": "demo",
            "measured": "LAMBADA evaluation · 8 × 512 tokens",
            "weights": "int4",
            "group": 64,
            "activations": "float",
            "scales": "mse",
            "bits": bits[i],
            "bytes": bits[i] * 1e7,
            "float_perplexity": 30.0,
            "seconds": 10.0,
            "cached": 1,
            "stages": 5,
            "device": "cpu",
            "notes": 0,
            "perplexity": perplexity[i],
            "perplexity/low": perplexity[i] * 0.95,
            "perplexity/high": perplexity[i] * 1.05,
            "perplexity/count": 4088,
        }
        for i in range(count)
    ]


def rerun(runs: RunTable) -> None:
    """One rerun: folder, figure as JSON, table as Arrow."""
    table = runs.table()
    figure = charts.pareto(
        table,
        metrics.SIZES["bits"],
        metrics.quality("perplexity"),
        reference=tables.reference(table, metrics.quality("perplexity")),
        logarithmic=True,
        selected=("0" * 16,),
    )
    plotly.io.to_json(figure, validate=False)
    pa.Table.from_pandas(table)


def measure(count: int) -> float:
    """95th percentile, milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        runs = RunTable(Index(Library(Path(folder))), Labels(Path(folder)))
        runs.table()
        runs._all = runs._shown = tables.runs(rows(count))
        rerun(runs)
        times = []
        for _ in range(REPEATS):
            start = time.process_time()
            rerun(runs)
            times.append((time.process_time() - start) * 1000)
    return float(np.percentile(times, 95))


def main() -> int:
    """Print the table, write the JSON, fail when the goal is missed."""
    found = {count: measure(count) for count in (1_000, 10_000)}
    growth = found[10_000] / found[1_000]
    rows_of = [{"runs": count, "p95_ms": round(value, 1)} for count, value in found.items()]
    print(_measure.table(rows_of))
    print(f"growth ×{growth:.2f}; goal: ≤ {LIMIT_MS:g} ms at 10,000 and growth ≤ {GROWTH:g}")
    _measure.save("pages", rows_of)
    return 0 if found[10_000] <= LIMIT_MS and growth <= GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
