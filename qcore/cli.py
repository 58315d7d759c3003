"""The command line: run · sweep · report · doctor.

The same engine, cache and library as the dashboard. Progress goes to standard error; with --json
standard output holds the result alone. Exit status: 0 only when every run finished, 1 when one
failed, 2 for a command that cannot be understood, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from qcore.errors import InvalidRecipe, QuantscopeError
from qcore.machine.allocator import keep_freed_memory
from qcore.machine.home import home
from qcore.progress import Event
from qcore.recipe import Recipe
from qcore.recipe.sweep import expand
from qcore.recipe.titles import title_of
from qcore.report.library import Library
from qcore.report.report import Metric, Report
from qcore.serialization import parse_json


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    keep_freed_memory()
    try:
        return options.command(options)
    except QuantscopeError as error:
        print(f"quantscope: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("quantscope: interrupted; finished stages are kept", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m qcore", description="Run, explain and compare post-training quantization"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, what in (
        ("run", _run, "run one recipe"),
        ("sweep", _sweep, "run every combination of a recipe with lists in it"),
    ):
        sub = commands.add_parser(name, help=what)
        sub.add_argument("recipe", type=Path, help="JSON file; - reads standard input")
        sub.add_argument("--device", help="cpu, cuda:0, …; the first GPU by default, else the CPU")
        sub.add_argument("--json", action="store_true", help="print the outcome as JSON")
        sub.set_defaults(command=command)
    report = commands.add_parser("report", help="show a finished run")
    report.add_argument("id", help="the report's id, or the first digits of it")
    report.add_argument("--json", action="store_true", help="print the whole report as JSON")
    report.set_defaults(command=_report)
    doctor = commands.add_parser("doctor", help="what is installed, what is missing, and why")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.set_defaults(command=_doctor)
    return parser


def _run(options: argparse.Namespace) -> int:
    recipe = Recipe.from_json(_read(options.recipe))
    with _Bars() as bars:
        report = _runner(options.device)(recipe, bars.show)
    print(report.to_json() if options.json else _table([report]))
    return 0


def _sweep(options: argparse.Namespace) -> int:
    recipes = expand(parse_json(_read(options.recipe)))
    run = _runner(options.device)
    reports: list[Report] = []
    failures: list[str] = []
    for number, recipe in enumerate(recipes, start=1):
        try:
            with _Bars(f"{number}/{len(recipes)} {title_of(recipe)}: ") as bars:
                reports.append(run(recipe, bars.show))
        except QuantscopeError as error:
            failures.append(f"{title_of(recipe)}: {error}")
            print(f"quantscope: {failures[-1]}", file=sys.stderr)
    if options.json:
        print("[" + ",".join(report.to_json() for report in reports) + "]")
    elif reports:
        print(_table(reports))
    if failures:
        print(f"quantscope: {len(failures)} of {len(recipes)} runs failed", file=sys.stderr)
    return 1 if failures else 0


def _report(options: argparse.Namespace) -> int:
    report = Library(home()).get(options.id)
    print(report.to_json() if options.json else _details(report))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from qcore.machine.doctor import examine, is_healthy, render, to_json

    findings = examine()
    print(to_json(findings) if options.json else render(findings))
    return 0 if is_healthy(findings) else 1


def _runner(device: str | None) -> Callable[[Recipe, Callable[[Event], None]], Report]:
    """The engine, with one loaded network kept between runs. Imported late: torch is slow.

    A run has its device to itself: it waits for a job that is there, and jobs wait for it.
    """
    from cache.store import Cache
    from qcore.jobs.local import device_lock
    from qcore.jobs.local.backend import LocalBackend
    from qcore.machine.devices import devices
    from qcore.machine.home import cache_limit
    from qcore.pipeline import Session, preview, run

    known = [item.name for item in devices()]
    if device is not None and device not in known:
        raise InvalidRecipe(f"no device {device!r} here", remedy=f"choose {', '.join(known)}")
    root = home()
    cache = Cache(root / "cache", cache_limit())
    session = Session(root, device or known[0])
    queue = LocalBackend(root)

    def one(recipe: Recipe, emit: Callable[[Event], None]) -> Report:
        waits = not preview([recipe], cache, root=root).finished  # a repeat needs no device
        with device_lock.hold(queue, session.device, _note) if waits else contextlib.nullcontext():
            return run(recipe, cache=cache, emit=emit, root=root, session=session)

    return one


def _note(sentence: str) -> None:
    print(f"note: {sentence}", file=sys.stderr)


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidRecipe(
            f"{path} cannot be read: {error.strerror}", remedy="check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidRecipe(f"{path} is not UTF-8 text", remedy="write it as UTF-8") from error


class _Bars:
    """One progress bar per stage on a terminal; one line per stage elsewhere."""

    def __init__(self, prefix: str = ""):
        self._prefix = prefix
        self._bar = None
        self._stage = ""

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def show(self, event: Event) -> None:
        """Draw one event."""
        if event.kind == "warning":
            print(f"note: {event.message}", file=sys.stderr)
        elif event.kind == "stage" and event.done and event.cached:
            self._close()
            print(f"{self._prefix}{event.stage}: cached", file=sys.stderr)
        elif event.stage == "job":
            print(f"{self._prefix}{event.message}", file=sys.stderr)
        elif event.kind == "progress":
            self._advance(event)

    def _advance(self, event: Event) -> None:
        from tqdm import tqdm

        if event.stage != self._stage or self._bar is None:
            self._close()
            self._stage = event.stage
            self._bar = tqdm(
                desc=self._prefix + event.stage,
                total=event.total or None,
                mininterval=0.2 if sys.stderr.isatty() else 30,
                file=sys.stderr,
            )
        self._bar.total = event.total or None
        self._bar.update(event.done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


def _table(reports: Sequence[Report]) -> str:
    """One line per report: id, size, quality, title."""
    lines = [f"{'report':16}  {'bits/w':>6}  {'MB':>7}  {'perplexity':>10}  {'KL':>8}  recipe"]
    for report in reports:
        perplexity, divergence = report.metric("perplexity"), report.metric("kl")
        lines.append(
            f"{report.id:16}  {report.volume.bits_per_weight:6.2f}  "
            f"{report.volume.total_bytes / 1e6:7.1f}  "
            f"{_number(perplexity):>10}  {_number(divergence):>8}  {title_of(report.recipe)}"
        )
    return "\n".join(lines)


def _details(report: Report) -> str:
    lines = [f"{report.id}  {title_of(report.recipe)}", f"model: {report.environment.model}", ""]
    for metric in report.metrics:
        interval = "" if metric.low is None else f"  [{metric.low:.4g}, {metric.high:.4g}]"
        lines.append(f"{metric.name}: {metric.value:.6g} {metric.unit}{interval}")
        lines.append(f"    {metric.definition}")
    size = report.volume
    lines += [
        "",
        f"size: {size.total_bytes / 1e6:.1f} MB, {size.bits_per_weight:.3f} bits per weight",
        "",
        *(f"{s.name}: {s.seconds:.2f} s{' (cached)' if s.cached else ''}" for s in report.stages),
        "",
        *(f"note: {note}" for note in report.notes),
        f"recipe: {json.dumps(report.recipe.to_dict())}",
    ]
    return "\n".join(lines)


def _number(metric: Metric | None) -> str:
    return "–" if metric is None else f"{metric.value:.4g}"
