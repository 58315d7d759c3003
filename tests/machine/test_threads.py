"""How threads wait: set before torch is there, and never over what the user has set."""

import subprocess
import sys
from pathlib import Path

import pytest

from qcore.machine import threads

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "set_already", ["GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY", "KMP_LIBRARY"]
)
def test_what_the_user_has_set_stands(set_already: str) -> None:
    assert threads.environment({set_already: "x", "PATH": ""}) == {}
    assert threads.environment({"PATH": ""})["GOMP_SPINCOUNT"] == str(threads.SPINS)


def test_a_command_sets_it_before_torch_is_imported() -> None:
    code = (
        "import os, sys; from qcore.cli import entry\n"
        "told = []\n"
        "entry.parser_for = lambda given: told.append('torch' in sys.modules) or Parser()\n"
        "class Parser:\n"
        "    def parse_args(self, given):\n"
        "        return type('Options', (), {'command': staticmethod(lambda _: 0)})\n"
        "entry.main(['run'])\n"
        "print(told, os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["[False]", str(threads.SPINS), "False"], done.stderr


def test_torch_reads_it_from_the_openmp_library_it_ships() -> None:
    code = (
        "from qcore.machine.threads import spin_briefly; spin_briefly()\n"
        "import torch; torch.ones(1 << 20).sum()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"OMP_DISPLAY_ENV": "verbose", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    if "GOMP_SPINCOUNT" in done.stderr:  # another OpenMP library has another name for it
        assert f"GOMP_SPINCOUNT = '{threads.SPINS}'" in done.stderr
