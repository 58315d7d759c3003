"""The GPU benchmarks at toy size: that they run, not what they measure."""

from __future__ import annotations

import pytest
import torch

from benchmarks import gpu_activations, gpu_weights
from benchmarks._device import NO_GPU
from benchmarks._measure import table
from tests.kernels.helpers_twins import DEVICE


def test_the_activation_benchmarks_run_on_a_toy():
    rows = gpu_activations.rows(
        DEVICE, tokens=2, width=128, blocks=(32,), orders=((40, 64), (192, 192)), compiled=False
    )
    names = [str(row["operation"]) for row in rows]
    assert {"G1 int4", "G1 mxfp4", "G1 block 32", "G2 full 12·2^4 of 192"} <= set(names)
    assert "over_pair" in next(row for row in rows if "G3" in str(row["operation"]))
    assert "over_padded" in rows[-1]
    assert len(table(gpu_activations.aligned(rows)).splitlines()) == len(rows) + 1


def test_the_weight_benchmarks_run_on_a_toy():
    rows = gpu_weights.rows(DEVICE, width=8, tokens=16, repeats=1)
    assert [str(row["operation"])[:2] for row in rows] == ["G4", "G5", "G6"]
    assert len(table(rows).splitlines()) == 4


@pytest.mark.parametrize("script", [gpu_activations, gpu_weights])
def test_without_a_gpu_a_benchmark_says_so_and_fails(script, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 2
    assert capsys.readouterr().out.strip() == NO_GPU
