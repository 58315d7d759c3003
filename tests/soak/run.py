"""Run the soak: `make soak`, or `python -m tests.soak.run OUT [SCENARIO…]`.

Every scenario is a module of this folder with a `run(folder)` that returns an Outcome. Each has a
process and a folder of its own. The tally goes to OUT/soak.json and, as a table, OUT/soak.md; the
exit status is 1 when anything was not as promised.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.soak.outcome import Outcome

SCENARIOS = (
    "kill_points",
    "killed_server",
    "two_dashboards",
    "command_line",
    "cancelled_stages",
    "memory_limit",
    "twenty_browsers",
    "clock_jumps",
    "hostile_files",
)
LIMIT_SECONDS = 1500


def main(out: Path, names: tuple[str, ...]) -> int:
    """Run the scenarios and write the tally; the exit status."""
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    tally = [run_apart(out, name) for name in names or SCENARIOS]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
    found = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "scenarios": tally}
    (out / "soak.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    (out / "soak.md").write_text(table(found))
    print((out / "soak.md").read_text())
    return any(row["failed"] for row in tally)


def run_apart(out: Path, name: str) -> dict[str, Any]:
    """One scenario in a process of its own, as a row of the tally."""
    print(f"{time.strftime('%H:%M:%S')} {name} …", flush=True)
    folder = out / f"{name}-{time.strftime('%H%M%S')}"
    folder.mkdir()
    start = time.monotonic()
    command = [sys.executable, "-m", "tests.soak.run", "--one", str(folder), name]
    with (folder / "output.txt").open("w") as output:
        try:
            subprocess.run(
                command, stdout=output, stderr=output, timeout=LIMIT_SECONDS, check=False
            )
            row = json.loads((folder / "outcome.json").read_text())
        except (OSError, subprocess.TimeoutExpired) as error:
            row = dataclasses.asdict(Outcome("", failed=[f"it did not end: {error}"]))
    return {"scenario": name, **row, "seconds": round(time.monotonic() - start)}


def run_here(folder: Path, name: str) -> None:
    """One scenario in this process; its outcome goes to a file."""
    try:
        outcome = importlib.import_module(f"tests.soak.{name}").run(folder / "work")
    except Exception:
        outcome = Outcome("", failed=[f"the scenario broke: {traceback.format_exc()[-800:]}"])
    (folder / "outcome.json").write_text(json.dumps(dataclasses.asdict(outcome)))


def table(found: dict[str, Any]) -> str:
    """The tally in Markdown."""
    lines = [
        f"`make soak`, {found['date']}; {found['machine']}.",
        "",
        "| Scenario | Tried | Not as promised | Found | Time |",
        "|---|---|---|---|---|",
    ]
    for row in found["scenarios"]:
        what = row["left_out"] and f"left out: {row['left_out']}"
        what = what or "; ".join(f"{name} {value}" for name, value in row["numbers"].items())
        words = row["scenario"].replace("_", " ")
        lines.append(
            f"| {words} | {row['count']} {row['tried']} | {len(row['failed'])} | {what} "
            f"| {row['seconds']} s |"
        )
    failures = [
        f"- {row['scenario']}: {line}" for row in found["scenarios"] for line in row["failed"]
    ]
    return "\n".join([*lines, "", *failures]) + "\n"


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        work = Path(sys.argv[2])
        (work / "work").mkdir()
        run_here(work, sys.argv[3])
    else:
        sys.exit(main(Path(sys.argv[1]), tuple(sys.argv[2:])))
