"""The triton twin of PiSO's blocks against the exact sweep."""

from __future__ import annotations

import pytest
import torch

from kernels.piso import blocked
from kernels.piso.operation import search
from qcore.errors import KernelError
from tests.kernels.helpers_twins import DEVICE
from tests.kernels.piso.test_piso import grid_of, problem


@pytest.mark.parametrize("name", ["int4", "e2m1", "zero_at_3_of_16"])
@pytest.mark.parametrize("flips", [5, 32])
def test_the_twin_finds_what_one_flip_at_a_time_finds(name, flips, monkeypatch):
    monkeypatch.setattr(blocked, "TWIN_FLIPS", flips)  # several blocks, the last one short
    w, h, t = problem(5, 12, "dense", rows=3)
    exact = search(w, grid_of(name), h, t, implementation="reference")
    found = search(*(part.to(DEVICE) for part in (w, grid_of(name), h, t)), implementation="triton")
    assert found.implementation == "triton"
    torch.testing.assert_close(found.error.cpu(), exact.error, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.scale.cpu(), exact.scale, rtol=0, atol=0)


def test_float32_finds_as_good_a_scale_as_the_torch_form():
    w, h, t = problem(6, 40, "dense", rows=4)
    exact = search(w, grid_of("int4"), h, t, implementation="reference").error
    single = [part.float().to(DEVICE) for part in (w, grid_of("int4"), h, t)]
    losses = [
        float(
            ((search(*single, implementation=implementation).error.cpu() - exact) / exact)
            .abs()
            .max()
        )
        for implementation in ("blocked", "triton")
    ]
    assert losses[1] <= 2 * losses[0] + 1e-9


def test_a_diagonal_and_tensors_apart_are_refused():
    w, h, t = problem(3, 8, "diagonal")
    thin = [part.to(DEVICE) for part in (w, grid_of("int4"), h.diagonal(), t)]
    with pytest.raises(KernelError, match="a diagonal needs no products"):
        search(*thin, implementation="triton")
    with pytest.raises(KernelError, match="hessian is on meta, weights on cpu"):
        search(w, grid_of("int4"), h.to("meta"), t)
