"""What must hold when things go wrong, tried for minutes: `make soak`.

    python -m tests.soak.run OUT [--long] [SCENARIO…]

Every scenario is a module of this folder with a `run(folder, long)` that returns an Outcome. Each
has a process and a folder of its own, one after the other. A line is printed for each when it has
ended, and below it a line for every time that something was not as promised. The tally goes to
OUT/soak.json and, as a table, to OUT/soak.md; rows of scenarios that are not run this time stay.
`--long` tries everything more often, for about an hour. The exit status is 1 when anything was not
as promised.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import json
import os
import platform
import signal
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
LIMIT_SECONDS = 3600


def main(out: Path, names: tuple[str, ...], long: bool) -> int:
    """Run the scenarios and write the tally; the exit status."""
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "soak.json"
    before = json.loads(kept.read_text())["scenarios"] if kept.exists() else []
    rows = {row["scenario"]: row for row in before if row["scenario"] in SCENARIOS}
    for name in names:
        rows[name] = run_apart(out, name, long)
        print(line(rows[name]), flush=True)
        ordered = sorted(rows.values(), key=lambda row: SCENARIOS.index(row["scenario"]))
        machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
        found = {"machine": machine, "scenarios": ordered}
        kept.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        (out / "soak.md").write_text(table(found))
    failures = sum(len(rows[name]["failed"]) for name in names)
    tries = sum(rows[name]["count"] for name in names)
    print(f"{tries} tries in {len(names)} scenarios, {failures} not as promised: {out / 'soak.md'}")
    return bool(failures)


def run_apart(out: Path, name: str, long: bool) -> dict[str, Any]:
    """One scenario in a process of its own, as a row of the tally."""
    folder = out / f"{name}-{time.strftime('%H%M%S')}"
    folder.mkdir()
    start = time.monotonic()
    command = [sys.executable, "-m", "tests.soak.run", str(folder), "--one", name]
    with (folder / "output.txt").open("w") as output:
        scenario = subprocess.Popen(
            [*command, *(["--long"] if long else [])],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            scenario.wait(LIMIT_SECONDS)
            row = json.loads((folder / "outcome.json").read_text())
        except (OSError, subprocess.TimeoutExpired) as error:
            row = dataclasses.asdict(Outcome("tries", failed=[f"it did not end: {error}"]))
        finally:  # with the servers and browsers that it started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(scenario.pid, signal.SIGKILL)
            scenario.wait()
    when = {"date": time.strftime("%Y-%m-%d"), "long": long}
    return {"scenario": name, **row, **when, "seconds": round(time.monotonic() - start)}


def run_here(folder: Path, name: str, long: bool) -> None:
    """One scenario in this process; its outcome goes to a file."""
    try:
        outcome = importlib.import_module(f"tests.soak.{name}").run(folder / "work", long)
    except Exception:
        outcome = Outcome("tries", failed=[f"the scenario broke: {traceback.format_exc()[-800:]}"])
    (folder / "outcome.json").write_text(json.dumps(dataclasses.asdict(outcome)))


def line(row: dict[str, Any]) -> str:
    """A scenario's row in one line, and its failures below."""
    what = f"{row['count']} {row['tried']}, {len(row['failed'])} not as promised"
    what = f"left out: {row['left_out']}" if row["left_out"] else what
    first = f"{row['scenario'].replace('_', ' '):17} {what} ({row['seconds']} s)"
    return "\n".join([first, *(f"  - {failure}" for failure in row["failed"])])


def table(found: dict[str, Any]) -> str:
    """The tally in Markdown."""
    lines = [
        f"`make soak`; {found['machine']}.",
        "",
        "| Scenario | Day | Tried | Not as promised | Found |",
        "|---|---|---|---|---|",
    ]
    for row in found["scenarios"]:
        what = "; ".join(f"{name}: {value}" for name, value in row["numbers"].items())
        what = f"left out: {row['left_out']}" if row["left_out"] else what
        words, day = row["scenario"].replace("_", " "), row["date"] + ", long" * row["long"]
        tried = f"{row['count']} {row['tried']}"
        lines.append(f"| {words} | {day} | {tried} | {len(row['failed'])} | {what} |")
    failures = [
        f"- {row['scenario']}: {failure}" for row in found["scenarios"] for failure in row["failed"]
    ]
    return "\n".join([*lines, "", *failures]).rstrip() + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.soak.run")
    parser.add_argument("out", type=Path)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--long", action="store_true", help="try everything more often")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.scenarios) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    if given.one:
        (given.out / "work").mkdir()
        run_here(given.out, given.one, given.long)
    else:
        sys.exit(main(given.out, tuple(given.scenarios) or SCENARIOS, given.long))
