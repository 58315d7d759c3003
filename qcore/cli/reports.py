"""`report`: show what a finished run measured."""

from __future__ import annotations

import argparse
import contextlib

from qcore.cli.output import put, say
from qcore.cli.tables import details
from qcore.machine.home import cache_limit, home
from qcore.report.library import Library
from qcore.report.report import Report
from qcore.report.tokens import TokenStatistics


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `report`."""
    parser.add_argument("id", help="the report's id, or the first digits of it")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.set_defaults(command=show)


def show(options: argparse.Namespace) -> int:
    """Print one Report, for people or as JSON."""
    report = Library(home()).get(options.id)
    if options.json:
        put(report.to_json())
        return 0
    found = statistics(report)
    put(details(report, found))
    if found is None and report.recipe.evaluation.divergence and report.layers:
        say(
            "note: nothing is kept of this run token by token; measure it again with: "
            f"python -m qcore run {report.id} --ensure evaluate"
        )
    return 0


def statistics(report: Report) -> TokenStatistics | None:
    """A run's statistics over tokens, from the cache where its Report was written before."""
    if report.tokens is not None:
        return report.tokens
    from cache.store import Cache
    from qcore.analysis.tokens import statistics_of  # waits for torch

    with contextlib.closing(Cache(home() / "cache", cache_limit())) as cache:
        return statistics_of(report, cache)
