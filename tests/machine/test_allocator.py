"""Keeping freed memory: asked of the C library, and only of one that has it."""

import subprocess
import sys

import pytest

from qcore.machine import allocator

PROBE = """
import resource, torch
from qcore.machine.allocator import keep_freed_memory
kept = keep_freed_memory()
for _ in range(40):  # aligned blocks need a little more than a freed one of their size leaves
    torch.ones(1 << 22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    torch.ones(1 << 22)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_a_freed_tensors_pages_serve_the_next_one():
    answer = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    kept, faults = answer.stdout.split()
    pages = 8 * (1 << 22) * 4 // 4096
    assert kept == "True"
    assert int(faults) < pages / 100, "16 MiB are not mapped again for each tensor"


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator.keep_freed_memory() is False


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory() is False
