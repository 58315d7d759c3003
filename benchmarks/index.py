"""C19: what the index of reports costs a start, at 2,000 and 10,000 reports.

Reports of the size of the demo model's (210 layers, 50 kB) are made up on the spot. Measured are
CPU seconds of this process, over all its threads:

- `first paint`: until a page that asks for the runs has its answer, which is what is known by then;
- `whole`: until all summaries are known, with the index on disk;
- `table`: until the table of runs stands, after that;
- `rebuilt`: what each Report costs in the background where no index is on disk;
- `again`: one look when nothing has changed.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _measure
from pages._ui.runs.engine import RunTable
from qcore.recipe import Recipe
from qcore.report.index import Index
from qcore.report.kept import FILE, KeptSummaries
from qcore.report.labels import Labels
from qcore.report.library import Library
from qcore.report.report import (
    Environment,
    LayerReport,
    Metric,
    Report,
    StageReport,
    Volume,
)
from qcore.report.summary import Summary, read_summary

GOALS = {2_000: 1.0, 10_000: 4.0}
REBUILT = 200
_BLOCKS = 30
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def made_up() -> Report:
    """A Report as the demo model leaves it."""
    layers = tuple(
        LayerReport(f"{block}.{name}", block, name, "int4", 331_776, 4, 4.25, 0.0123456, 0.0034567)
        for block in range(_BLOCKS)
        for name in _PROJECTIONS
    )
    metrics = tuple(
        Metric(name, 1.2345, "nats/token", "a definition of one sentence " * 4, 4088, 1.1, 1.3)
        for name in ("perplexity", "loss_increase", "kl", "top1_agreement")
    )
    stages = ("load", "reference", "capture", "quantize", "evaluate")
    return Report(
        id="0" * 16,
        recipe=Recipe(),
        created=1.7e9,
        assignment={layer.name: layer.format for layer in layers},
        layers=layers,
        metrics=metrics,
        window_losses=(3.25,) * 8,
        float_window_losses=(3.0,) * 8,
        window_divergences=(0.01,) * 8,
        volume=Volume(10**8, 10**7, 10**8, 4.25, 10**8, 134_500_000),
        stages=tuple(StageReport(name, "ab" * 32, 3.5, False) for name in stages),
        environment=Environment("cpu", "demo", "cd" * 32, "Llama", {}, {"torch": "2"}),
    )


def fill(root: Path, count: int) -> None:
    """That many Reports, written as plain files: nobody waits for each to reach the disk."""
    report, folder = made_up(), root / "reports"
    folder.mkdir()
    text, created = report.to_json(), int(report.created)
    for number in range(count):
        name = f"{number:016x}"
        one = text.replace(f'"id":"{report.id}"', f'"id":"{name}"')
        one = one.replace(f'"created":{created}', f'"created":{created + number}')
        (folder / f"{name}.json").write_text(
            one.replace('"seed":0', f'"seed":{number}'), encoding="utf-8"
        )


def keep(library: Library) -> None:
    """The index on disk, as reading all Reports would leave it."""
    summary, rows = Summary.of(made_up()), {}
    for name, mark in library.marks().items():
        number = int(name, 16)
        rows[name] = (
            mark,
            dataclasses.replace(
                summary, id=name, created=summary.created + number, recipe=Recipe(seed=number)
            ),
        )
    KeptSummaries(library.root).add(rows)


def spent(work: Callable[[], object]) -> float:
    """CPU seconds of this process, all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(count: int) -> dict[str, float | int]:
    """One row: seconds of CPU, and wall seconds of the first paint."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fill(root, count)
        library = Library(root)
        some = library.ids()[:REBUILT]
        rebuilt = spent(lambda: [read_summary(library, name) for name in some]) / len(some)
        keep(library)
        size = (root / FILE).stat().st_size
        index = Index(Library(root))
        wall, start = time.monotonic(), time.process_time()
        index.summaries()
        paint = time.monotonic() - wall
        while not index.ready:
            time.sleep(0.01)
        whole = time.process_time() - start
        assert len(index.summaries()) == count
        table = spent(RunTable(index, Labels(root)).table)
        again = min(spent(index.summaries) for _ in range(20))
    return {
        "reports": count,
        "first paint (wall s)": paint,
        "whole (CPU s)": whole,
        "table (CPU s)": table,
        "rebuilt (CPU ms each)": rebuilt * 1e3,
        "again (CPU ms)": again * 1e3,
        "index (MB)": size / 1e6,
    }


def main() -> int:
    """Print the table, write the JSON, fail when the goal is missed."""
    rows = [measure(count) for count in GOALS]
    print(_measure.table(rows))
    load = os.getloadavg()[0]
    print(
        f"goal: whole + table ≤ {' and '.join(f'{s:g} s at {n:,}' for n, s in GOALS.items())}; "
        f"load {load:.1f} on {os.cpu_count()} cores"
        + (": others were at work, so times are too long" if load > 1.5 else "")
    )
    _measure.save("index", rows)
    spans = {int(row["reports"]): row["whole (CPU s)"] + row["table (CPU s)"] for row in rows}
    return int(any(spans[count] > goal for count, goal in GOALS.items()))


if __name__ == "__main__":
    sys.exit(main())
