"""Qronos against GPTQ under quantized inputs: what is compared, on a tiny network."""

from __future__ import annotations

import pytest
import torch

from benchmarks.corrections import against_float, fit, measure, recipe_of, summary
from benchmarks.layer_errors import float_moments
from tests.models.factories import tiny_model, tiny_windows


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
    plain = float_moments(model, windows)
    recipes = {name: recipe_of(3, "mse", name, 1e-6) for name in ("gptq", "qronos")}
    errors, made = fit(model, windows, plain, recipes)
    assert len(errors["gptq"]) == len(errors["qronos"]) == 21
    fitted = summary(errors)
    assert fitted["qronos"] < fitted["gptq"]
    # The same text again, through the same rounded network: nothing is held out.
    again = summary(measure(model, windows, plain, made))
    assert again == {name: pytest.approx(value, rel=1e-4) for name, value in fitted.items()}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
