"""The errors of all layers: what the comparison counts, on a tiny network."""

from __future__ import annotations

import pytest
import torch

from benchmarks.layer_errors import (
    against_float,
    compare_corrections,
    compare_methods,
    float_moments,
)
from tests.models.tiny_models import tiny_model, tiny_windows


def test_no_layer_rounded_to_nearest_is_worse_with_piso():
    model = tiny_model()
    moments = float_moments(model, tiny_windows())
    rows = compare_methods(model, moments, moments, bits=3)
    assert [(row["rounding"], row["scales"]) for row in rows][:3] == [
        ("rtn", "absmax"),
        ("rtn", "mse"),
        ("rtn", "piso"),
    ]
    assert (rows[2]["above absmax"], rows[2]["above mse"]) == (0, 0)
    assert rows[2]["median"] < min(rows[0]["median"], rows[1]["median"])
    # The same text twice: what is held out is what was fitted to.
    assert all(row["held out"] == row["median"] for row in rows)


def test_error_against_float_outputs_is_that_of_the_outputs_themselves():
    make = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(200, 24, generator=make).double() for _ in range(2))
    w, step = (torch.randn(8, 24, generator=make).double() for _ in range(2))
    quantized, v = x + 0.3 * noise, w + 0.1 * step
    expected = (x @ w.T - quantized @ v.T).square().sum() / (x @ w.T).square().sum()
    found = against_float(w, v, x.T @ x, quantized.T @ x, quantized.T @ quantized)
    assert found == pytest.approx(float(expected), rel=1e-10)


def test_comparing_corrections_leaves_the_network_as_it_was():
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    windows = tiny_windows()
    row = compare_corrections(model, windows, float_moments(model, windows), bits=3)
    assert row["layers"] == 21
    assert row["qronos"] < row["gptq"]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
