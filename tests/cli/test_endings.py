"""How a command ends from outside: signals, closed pipes, full devices. Never with a traceback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qcore.cli.signals import Stopped, stopping_on_signals
from tests.pipeline.factories import Workshop

ROOT = Path(__file__).parents[2]
INTERRUPTING = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
"""

WAITING = """
import signal, sys
from types import SimpleNamespace
from qcore.cli import main

def read(limit):
    print("ready", flush=True)
    signal.pause()

sys.stdin = SimpleNamespace(read=read)
sys.exit(main(["run", "-"]))
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "qcore", *arguments]


def surroundings(shop: Workshop, **more: str) -> dict[str, str]:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**buffered, "QUANTSCOPE_HOME": str(shop.root), **more}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_says_a_word_and_shells_see_its_number(shop: Workshop, name: str) -> None:
    number = getattr(signal, name)
    with subprocess.Popen(
        [sys.executable, "-c", WAITING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=surroundings(shop),
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    word = "interrupted" if name == "SIGINT" else f"stopped by {name}"
    assert errors == f"quantscope: {word}; finished stages are kept\n"
    assert process.returncode == 128 + number


@pytest.mark.parametrize("at", ["qcore.cli.entry", "argparse", "qcore.api.engine", "torch"])
def test_an_early_interrupt_leaves_no_trace(shop: Workshop, tmp_path: Path, at: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTING)
    done = subprocess.run(
        command("run", "-"),
        input=json.dumps(shop.data(seed=12)),
        cwd=ROOT,
        env=surroundings(shop, PYTHONPATH=str(tmp_path), INTERRUPT_AT=at),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1].startswith("quantscope: interrupted")
    assert "Traceback" not in done.stderr


def test_a_signal_that_the_caller_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_of_the_process_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="stopped by SIGTERM"), stopping_on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_error_that_took_the_signals_place_is_the_signal() -> None:
    def torn() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Stopped:
            raise ValueError("could not determine the shape of object") from None

    with pytest.raises(Stopped, match="stopped by SIGTERM"), stopping_on_signals():
        torn()


@pytest.mark.parametrize("arguments", [["report", "ID", "--json"], ["--help"]])
def test_a_reader_that_left_is_no_error_with_a_trace(shop: Workshop, arguments: list[str]) -> None:
    kept = shop.run(shop.recipe())
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command(*(kept.id if item == "ID" else item for item in arguments)),
        cwd=ROOT,
        env=surroundings(shop),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("arguments", [["report", "ID", "--json"], ["--help"]])
def test_a_full_device_is_a_sentence(shop: Workshop, arguments: list[str]) -> None:
    kept = shop.run(shop.recipe())
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(*(kept.id if item == "ID" else item for item in arguments)),
            cwd=ROOT,
            env=surroundings(shop),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("quantscope: standard output cannot be written: No space left on device")


def test_a_run_goes_on_where_nobody_reads_its_progress(shop: Workshop) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("run", "-", "--json", "--device", "cpu"),
            input=json.dumps(shop.data(seed=13)),
            cwd=ROOT,
            env=surroundings(shop),
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0
    assert json.loads(done.stdout)["recipe"]["seed"] == 13
