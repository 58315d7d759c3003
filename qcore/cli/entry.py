"""Find the command, let its module parse and run it, and turn how it ended into an exit status.

`COMMANDS` is the table: a new command is a line here and two functions in its group's module, one
that adds its arguments and one that does it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from qcore.cli import output
from qcore.cli.signals import Stopped, stopping_on_signals
from qcore.errors import QuantscopeError
from qcore.machine.allocator import keep_freed_memory
from qcore.machine.threads import spin_briefly


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the table.

    Attributes:
        group: the module of this folder that has the command.
        arguments: its function that adds the command's arguments to a parser and sets the default
            `command` to what takes them and returns the exit status.
        what: the line of help.
    """

    group: str
    arguments: str
    what: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Import the group and let it add the command's arguments."""
        group = importlib.import_module(f"qcore.cli.{self.group}")
        getattr(group, self.arguments)(parser)


COMMANDS = {
    "run": Entry("runs", "add_run", "run one recipe"),
    "sweep": Entry("runs", "add_sweep", "run every combination of a recipe with lists in it"),
    "report": Entry("reports", "add_report", "show a finished run"),
    "suffix": Entry("suffix", "add_suffix", "train, evaluate or ask a suffix network"),
    "export": Entry("exports", "add_export", "write a run for servers, and prove it"),
    "verify": Entry("exports", "add_verify", "check an exported folder with its reader's code"),
    "compare": Entry("comparison", "add_compare", "hold runs against a baseline"),
    "board": Entry("sharing", "add_board", "write runs as one HTML file that is a dashboard"),
    "waterfall": Entry("waterfall", "add_waterfall", "what each technique of a run is worth"),
    "bundle": Entry("sharing", "add_bundle", "write runs into one file for another Quantscope"),
    "import": Entry("sharing", "add_import", "read such a file, list what was read, or remove it"),
    "list": Entry("organise", "add_list", "every finished run in a line"),
    "name": Entry("organise", "add_name", "name a run"),
    "tag": Entry("organise", "add_tag", "tag runs"),
    "note": Entry("organise", "add_note", "keep a note with a run, or print it"),
    "pin": Entry("organise", "add_pin", "keep runs on top, or as baselines"),
    "archive": Entry("organise", "add_archive", "leave runs out of tables and figures"),
    "delete": Entry("organise", "add_delete", "delete runs; within a day they can come back"),
    "families": Entry("families", "add_families", "which architectures can be quantized"),
    "doctor": Entry("machine", "add_doctor", "what is installed, what is missing, and why"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    Raises:
        SystemExit: 2, the command cannot be understood; 0, help was asked for.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with stopping_on_signals():
            options = parser_for(given).parse_args(given)
            keep_freed_memory()
            spin_briefly()
            return options.command(options)
    except QuantscopeError as error:
        output.say(f"quantscope: {error}")
        return 1
    except BrokenPipeError:
        return output.READER_LEFT
    except (KeyboardInterrupt, Stopped) as error:
        stopped = error if isinstance(error, Stopped) else Stopped.by_keyboard()
        output.say(f"quantscope: {stopped}; finished stages are kept")
        return stopped.status


def parser_for(given: Sequence[str]) -> argparse.ArgumentParser:
    """A parser that knows every command by name, and the arguments of the one that is given."""
    parser = argparse.ArgumentParser(
        prog="python -m qcore", description="Run, explain and compare post-training quantization"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, entry in COMMANDS.items():
        command = commands.add_parser(name, help=entry.what)
        if given and given[0] == name:
            entry.add_arguments(command)
    return parser
