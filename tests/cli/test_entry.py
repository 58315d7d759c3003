"""The table of commands: whole, and lazy."""

import subprocess
import sys
from argparse import ArgumentParser, Namespace

import pytest

from qcore.cli.entry import COMMANDS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_adds_its_arguments_and_says_what_it_does(name: str) -> None:
    parser = ArgumentParser()
    COMMANDS[name].add_arguments(parser)
    assert callable(parser.get_default("command"))
    assert COMMANDS[name].what


def test_only_the_module_of_the_used_command_is_imported() -> None:
    probe = (
        "import sys; from qcore.cli.entry import parser_for\n"
        "parser_for(['doctor']).parse_args(['doctor'])\n"
        "print(sorted(set(sys.modules) & {'qcore.cli.runs', 'qcore.cli.reports', "
        "'qcore.cli.machine', 'qcore.recipe', 'torch'}))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "['qcore.cli.machine']\n"


def test_a_command_returns_a_status() -> None:
    from qcore.cli import machine

    assert machine.examine_machine(Namespace(json=True)) in (0, 1)
