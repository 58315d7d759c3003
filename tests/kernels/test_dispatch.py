from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from kernels import dispatch
from kernels.dispatch import SWITCH, Choice, DispatchCount, choose, record_choices
from kernels.elements.values import E2M1
from kernels.gptq.operation import round_block
from qcore.errors import KernelError
from tests.house.tree import ROOT
from tests.kernels.helpers_twins import DEVICE

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
BOTH: dict[dispatch.Twin, str | None] = {"compiled": None, "triton": None}


@pytest.fixture
def old_gpu(monkeypatch):
    """A machine with a GPU that triton can serve or not, by its compute capability."""

    def with_capability(*capability: int) -> None:
        monkeypatch.setattr(dispatch, "interpreted", lambda: False)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(dispatch, "_against_triton", dispatch._against_triton.__wrapped__)

    return with_capability


@pytest.fixture(autouse=True)
def no_switch(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)


def test_every_device_is_served_by_its_twin(old_gpu):
    old_gpu(9, 0)
    assert choose("x", CPU, BOTH) == Choice("compiled", "the twin for cpu")
    assert choose("x", GPU, BOTH) == Choice("triton", "the twin for cuda")


def test_torch_serves_where_the_device_has_no_twin():
    assert choose("x", CPU, {"triton": None}) == Choice("torch", "no twin for cpu")
    assert choose("x", GPU, {"compiled": None}) == Choice("torch", "no twin for cuda")
    assert choose("x", torch.device("meta"), {}) == Choice("torch", "no twin for meta")


def test_what_keeps_a_twin_from_serving_is_the_reason_given(old_gpu):
    assert choose("x", CPU, {"compiled": "float64"}) == Choice("torch", "float64")
    old_gpu(7, 5)
    expected = Choice("torch", "compute capability 7.5 is older than triton's 8.0")
    assert choose("x", GPU, BOTH) == expected


@pytest.mark.parametrize("name", ["torch", "compiled", "triton"])
def test_the_environment_can_hold_all_calls_to_one_implementation(monkeypatch, name):
    monkeypatch.setenv(SWITCH, name)
    device = DEVICE if name == "triton" else CPU
    assert choose("x", device, BOTH) == Choice(name, f"{SWITCH}={name}")
    assert choose("x", device, {}).implementation == "torch"


def test_the_caller_comes_before_the_environment(monkeypatch):
    monkeypatch.setenv(SWITCH, "triton")
    assert choose("x", CPU, BOTH, implementation="compiled") == Choice("compiled", "asked for")


def test_an_unknown_name_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv(SWITCH, "fast")
    with pytest.raises(KernelError, match=f"{SWITCH}=fast names no .*; unset it or choose torch"):
        choose("x", CPU, BOTH)


@pytest.mark.parametrize(
    ("implementation", "device", "twins", "why"),
    [
        ("compiled", GPU, BOTH, "cuda is not the CPU"),
        ("compiled", CPU, {}, "no compiled twin"),
        ("compiled", CPU, {"compiled": "float64"}, "float64"),
        ("triton", CPU, {"compiled": None}, "no triton twin"),
    ],
)
def test_an_implementation_asked_for_runs_or_says_why_not(implementation, device, twins, why):
    with pytest.raises(KernelError, match=f"x cannot run {implementation} on {device}: {why}"):
        choose("x", device, twins, implementation=implementation)


def test_what_served_is_counted_by_operation_and_reason():
    columns = torch.ones(2, 3)
    given = (columns, torch.zeros(2, 3), torch.zeros(2, 2), torch.ones(1, 3), None)
    with record_choices() as record:
        for implementation in (None, None, "torch"):
            round_block(
                *given, torch.zeros(2, dtype=torch.int64), E2M1, implementation=implementation
            )
        choose("another", CPU, {})
        assert record.counts() == [
            DispatchCount("another", "torch", "no twin for cpu", 1),
            DispatchCount("gptq block", "compiled", "the twin for cpu", 2),
            DispatchCount("gptq block", "torch", "asked for", 1),
        ]
    before = record.counts()
    choose("another", CPU, {})
    assert record.counts() == before


def test_records_nest_and_hear_every_thread():
    with record_choices() as outer, record_choices() as inner, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: choose("x", CPU, BOTH), range(1000)))
    assert [item.count for item in outer.counts()] == [1000]
    assert inner.counts() == outer.counts()


def test_the_kernels_do_not_need_triton():
    """A machine without it, and the time that importing it takes."""
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, kernels.gptq.operation, kernels.hadamard.operation\n"
        "import kernels.integer.operation, kernels.microscaling.operation\n"
        "import kernels.piso.operation, kernels.rotate_quantize.operation\n"
        "import kernels.second_moment.operation, kernels.mse_scale.operation\n"
        "kernels.integer.operation.fake_quantize_integer(torch.ones(2, 8), 4, symmetric=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
