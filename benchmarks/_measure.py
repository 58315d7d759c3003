"""Fair timing and an honest record of it, shared by every benchmark.

Contenders run in one process, in turn (A B C A B C …), so that a busy neighbour or a warm cache
favours none; each keeps the minimum of its repeats, the time least disturbed. On the CPU the clock
is `time.process_time`: seconds of CPU over all threads, blind to other processes.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "numba", "numpy", "triton", "transformers")


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    *,
    repeats: int = 5,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, float]:
    """Fewest seconds of each contender over `repeats` rounds, after one unmeasured round."""
    for run in contenders.values():
        run()
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(repeats):
        for name, run in contenders.items():
            start = clock()
            run()
            best[name] = min(best[name], clock() - start)
    return best


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same keys as aligned text; floats with four significant digits."""
    heads = list(rows[0])
    cells = [heads, *([_text(row[head]) for head in heads] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    )


def save(name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write `results/NAME.json`: the rows, and where and when they were measured."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**_circumstances(), "rows": list(rows)}, indent=2) + "\n")
    return path


def _circumstances() -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": versions,
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    family = names[0] if names else platform.machine()
    vectors = torch.backends.cpu.get_cpu_capability()
    return f"{family}, {vectors}, {len(names)} logical cores"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
