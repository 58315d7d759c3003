"""`doctor`: say what is installed on this machine, what is missing, and why."""

from __future__ import annotations

import argparse

from qcore.cli.output import put


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `doctor`."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(command=examine_machine)


def examine_machine(options: argparse.Namespace) -> int:
    """Print the doctor's findings; the status is 0 where all is well."""
    from qcore.machine.doctor import examine, is_healthy, render, to_json

    findings = examine()
    put(to_json(findings) if options.json else render(findings))
    return 0 if is_healthy(findings) else 1
