"""The command line: `python -m qcore COMMAND`.

The same engine, cache and library as the dashboard. Progress goes to standard error; with --json
standard output holds the result alone. A group of commands is a module of this folder; `entry` has
the table of them and imports only the one that is used.

Exit status: 0 only when everything that was asked for was done, 1 when something failed, 2 for a
command that cannot be understood, 128 and the signal's number when a signal ended it (130 for an
interrupt), 141 when the reader of standard output left.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default the process's own arguments; returns the exit status."""
    from qcore.cli import entry  # after signals are handled

    return entry.main(arguments)
