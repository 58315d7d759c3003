"""`report`: show what a finished run measured."""

from __future__ import annotations

import argparse

from qcore.cli.output import put
from qcore.cli.tables import details
from qcore.machine.home import home
from qcore.report.library import Library


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `report`."""
    parser.add_argument("id", help="the report's id, or the first digits of it")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.set_defaults(command=show)


def show(options: argparse.Namespace) -> int:
    """Print one Report, for people or as JSON."""
    report = Library(home()).get(options.id)
    put(report.to_json() if options.json else details(report))
    return 0
