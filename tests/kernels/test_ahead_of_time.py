"""The triton kernels as machine code: what their interpreter cannot show."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kernels.hadamard.plan import SHARED_BYTES
from tests.house.tree import ROOT

ROUNDING = {"_fake_quantize", "_quantize", "_rows", "_chunks", "_rotate_and_quantize"}
PRODUCTS = {"_blocks", "_full", "_rotate_and_quantize", "_add_second_moment"}


@pytest.fixture(scope="module")
def compiled():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.kernels.helpers_ahead_of_time", "90"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_kernel_compiles_and_fits_a_multiprocessor(compiled):
    names = {kernel["name"] for kernel in compiled}
    assert names == ROUNDING | PRODUCTS | {"_round_block", "_block_sums"}
    assert max(kernel["shared"] for kernel in compiled) <= SHARED_BYTES


def test_rounding_divides_exactly(compiled):
    """An approximate division would move a code where the reference has another."""
    for kernel in compiled:
        floats = {each for each in kernel["divisions"] if ".f32" in each or ".f64" in each}
        assert floats <= {"div.rn.f32"}


def test_rounding_without_products_is_not_contracted(compiled):
    for kernel in compiled:
        if kernel["name"] in ROUNDING - PRODUCTS:
            assert not kernel["fused"]


def test_sixteen_bit_products_run_on_the_tensor_cores(compiled):
    assert {each["name"] for each in compiled if each["tensor_cores"]} == PRODUCTS
