"""GPFQ and Qronos against their definitions on samples, in float64."""

import pytest
import torch

from qcore.calibration.statistics import Accumulator
from qcore.errors import InvalidRecipe, NotPositiveDefinite, NumericalError
from qcore.formats.coding import dequantize
from qcore.formats.format import named
from qcore.formats.quantized import Scales
from qcore.numerics.moments import correlation
from qcore.rounding.gpfq import gpfq
from qcore.rounding.gptq import gptq
from qcore.rounding.qronos import largest_eigenvalue, qronos
from qcore.rounding.rtn import rtn
from qcore.scales.absmax import absmax
from qcore.scales.piso import piso


def layer(width=12, out=5, tokens=60, drift=0.3, seed=0):
    """(float inputs X, quantized inputs X̃, weight), correlated and asymmetric."""
    make = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=make, dtype=torch.float64)
    x = torch.randn(tokens, width, generator=make, dtype=torch.float64) @ mix
    noise = torch.randn(tokens, width, generator=make, dtype=torch.float64)
    bend = torch.eye(width, dtype=torch.float64) + drift * torch.randn(
        width, width, generator=make, dtype=torch.float64
    )
    weight = torch.randn(out, width, generator=make, dtype=torch.float64)
    return x, x @ bend * 0.9 + drift * noise, weight.float()


def round_to_grid(value, scale, fmt):
    return (value / scale).round().clamp(fmt.low, fmt.high) * scale


def output_error(x, xq, weight, quantized):
    return float(((x @ weight.double().T - xq @ dequantize(quantized).double().T) ** 2).sum())


def test_correlation_is_quantized_inputs_against_float_outputs():
    x, xq, weight = layer()
    gw = correlation(weight.double(), xq.T @ x)
    torch.testing.assert_close(gw[2], xq.T @ (x @ weight[2].double()))


@pytest.mark.parametrize("act_order", [True, False])
@pytest.mark.parametrize("bits", [2, 4])
def test_gpfq_equals_its_definition_on_samples(bits, act_order):
    fmt = named(f"int{bits}")
    x, xq, weight = layer(seed=bits)
    scales = absmax(weight, fmt)
    found = gpfq(weight, xq.T @ xq, xq.T @ x, scales, fmt, act_order=act_order, damping=0.0)

    order = (xq**2).sum(0).argsort(descending=True) if act_order else torch.arange(12)
    expected = torch.zeros(5, 12, dtype=torch.float64)
    for row in range(5):
        u = torch.zeros(len(x), dtype=torch.float64)
        for t in order:
            path = u + weight[row, t].double() * x[:, t]
            value = xq[:, t] @ path / (xq[:, t] @ xq[:, t])
            expected[row, t] = round_to_grid(value, scales.scale[row, 0].double(), fmt)
            u = path - expected[row, t] * xq[:, t]
    torch.testing.assert_close(dequantize(found).double(), expected, rtol=1e-6, atol=0)


def brute_force_qronos(x, xq, weight, scale, fmt, order):
    """Each column rounded at the least-squares optimum of all columns still free."""
    result = torch.zeros_like(weight, dtype=torch.float64)
    for row in range(len(weight)):
        wanted = x @ weight[row].double()
        current = weight[row].double()[order].clone()
        columns = xq[:, order]
        q = torch.zeros_like(current)
        for t in range(len(order)):
            if t == 0:
                left = wanted - columns[:, 1:] @ current[1:]
                value = columns[:, 0] @ left / (columns[:, 0] @ columns[:, 0])
            else:
                left = wanted - columns[:, :t] @ q[:t]
                current[t:] = torch.linalg.lstsq(columns[:, t:], left[:, None]).solution[:, 0]
                value = current[t]
            q[t] = round_to_grid(value, scale[row].double(), fmt)
        result[row, order] = q
    return result


@pytest.mark.parametrize("act_order", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_qronos_equals_repeated_least_squares(bits, act_order):
    fmt = named(f"int{bits}")
    x, xq, weight = layer(seed=10 + bits)
    h, scales = xq.T @ xq, absmax(weight, fmt)
    order = h.diagonal().argsort(descending=True) if act_order else torch.arange(12)
    expected = brute_force_qronos(x, xq, weight, scales.scale[:, 0], fmt, order)
    found = qronos(weight, h, xq.T @ x, scales, fmt, act_order=act_order, damping=1e-12)
    torch.testing.assert_close(dequantize(found).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["int3", "int4_asym", "mxfp4"])
def test_qronos_is_gptq_when_inputs_are_the_float_ones(name):
    _, xq, weight = layer(width=64, tokens=400, drift=0.0)
    fmt = named(name, None if name.startswith("mx") else 16)
    h = xq.T @ xq
    scales = absmax(weight, fmt)
    added = 1e-3
    ours = qronos(weight, h, h, scales, fmt, damping=added)
    relative = added * largest_eigenvalue(h) / float(h.diagonal().mean())
    theirs = gptq(weight, h, scales, fmt, damping=relative)
    assert torch.equal(ours.codes, theirs.codes)
    assert ours.damping == pytest.approx(theirs.damping)


def test_the_transposed_cross_moment_gives_other_and_worse_codes():
    x, xq, weight = layer(width=32, tokens=300, drift=0.1)
    fmt, h, g = named("int4"), xq.T @ xq, xq.T @ x
    scales = absmax(weight, fmt)
    for method in (gpfq, qronos):
        right = output_error(x, xq, weight, method(weight, h, g, scales, fmt))
        wrong = output_error(x, xq, weight, method(weight, h, g.T.contiguous(), scales, fmt))
        assert right < wrong


def test_qronos_beats_gptq_and_gpfq_beats_rounding_on_quantized_inputs():
    x, xq, weight = layer(width=64, tokens=500, drift=0.03, out=32)
    fmt, h, g = named("int4"), xq.T @ xq, xq.T @ x
    scales = absmax(weight, fmt)
    rounded, greedy, eliminated, corrected = (
        output_error(x, xq, weight, found)
        for found in (
            rtn(weight, scales, fmt),
            gpfq(weight, h, g, scales, fmt),
            gptq(weight, h, scales, fmt),
            qronos(weight, h, g, scales, fmt),
        )
    )
    assert greedy < rounded
    assert corrected < eliminated
    assert corrected < greedy


def test_columns_that_no_input_reached_are_rounded_to_nearest():
    x, xq, weight = layer(width=16)
    x[:, 3] = xq[:, 3] = 0.0
    fmt = named("int4")
    scales = absmax(weight, fmt)
    plain = rtn(weight, scales, fmt).codes[:, 3]
    for method in (gpfq, qronos):
        found = method(weight, xq.T @ xq, xq.T @ x, scales, fmt)
        assert torch.equal(found.codes[:, 3], plain)
        nothing = torch.zeros(16, 16)
        silent = method(weight, nothing, nothing, scales, fmt)
        assert torch.equal(silent.codes, rtn(weight, scales, fmt).codes)


@pytest.mark.parametrize("method", [gpfq, qronos])
def test_one_column_and_one_token_are_enough(method):
    fmt = named("int4")
    weight = torch.tensor([[0.7], [-0.2]])
    one = torch.tensor([[4.0]])
    narrow = method(weight, one, one, absmax(weight, fmt), fmt)
    assert torch.equal(narrow.codes, rtn(weight, absmax(weight, fmt), fmt).codes)
    _, xq, wide = layer(tokens=1)
    h = xq.T @ xq
    found = method(wide, h, h, absmax(wide, fmt), fmt)
    assert dequantize(found).isfinite().all()


@pytest.mark.parametrize("method", [gpfq, qronos])
def test_moments_that_are_none_are_refused(method):
    _, xq, weight = layer()
    fmt = named("int4")
    scales, h = absmax(weight, fmt), xq.T @ xq
    with pytest.raises(NotPositiveDefinite, match="eigenvalue"):
        method(weight, -h, None, scales, fmt)
    with pytest.raises(NumericalError, match="NaN"):
        method(weight, h * torch.nan, None, scales, fmt)
    with pytest.raises(InvalidRecipe, match="does not fit"):
        method(weight, h[:4, :4], None, scales, fmt)
    with pytest.raises(NumericalError, match="transpose"):
        method(weight, h + torch.triu(h, 1), None, scales, fmt)


def test_scales_of_groups_stay_with_their_columns():
    _, xq, weight = layer(width=32, tokens=200)
    fmt = named("int4", 16)
    scales = absmax(weight, fmt)
    lopsided = Scales(scales.scale * torch.tensor([1.0, 100.0]))
    for method in (gpfq, qronos):
        found = method(weight, xq.T @ xq, None, lopsided, fmt)
        assert found.codes[:, :16].abs().amax() > 1
        assert found.codes[:, 16:].abs().amax() <= 1


def blank_lines(tokens=1024, width=32, seed=1):
    """H of tokens that are all alike, summed in float32 as the capture does."""
    row = torch.randn(1, width, generator=torch.Generator().manual_seed(seed))
    seen = Accumulator(width, tokens)
    for _ in range(tokens // 64):
        seen.add(row.expand(64, width).clone())
    return seen.finish("site").hessian


def one_large_channel(tokens=1024, width=64):
    """H behind a norm where one residual channel stands at +3000."""
    x = torch.randn(tokens, width, generator=torch.Generator().manual_seed(2))
    x[:, 7] += 3000
    x = torch.nn.functional.normalize(x, dim=1) * width**0.5
    seen = Accumulator(width, tokens)
    seen.add(x)
    return seen.finish("site").hessian


def least(hessian):
    return float(torch.linalg.eigvalsh(hessian.double())[0] / hessian.double().trace())


@pytest.mark.parametrize("tokens", [1024, 8192])
def test_moments_of_tokens_that_are_all_alike_are_damped_and_say_so(tokens):
    h = blank_lines(tokens)
    assert least(h) < -1e-6  # that is float32's rounding, and more than Qronos's own damping
    weight = torch.randn(8, 32, generator=torch.Generator().manual_seed(3))
    fmt = named("int4")
    scales = piso(weight, fmt, h, h, objective="cross")
    found = qronos(weight, h, h, scales, fmt)
    assert found.asked is not None
    assert found.asked < (found.damping or 0) < 0.1
    greedy, plain = gpfq(weight, h, h, scales, fmt), gptq(weight, h, scales, fmt)
    assert plain.asked is None
    for one in (found, greedy, plain):
        error = dequantize(one).double() - weight
        lost = torch.linalg.vecdot(error @ h.double(), error)
        whole = torch.linalg.vecdot(weight.double() @ h.double(), weight.double())
        assert float(lost.sum()) < 0.05 * float(whole.sum())


def test_moments_of_one_channel_far_above_the_others_are_served():
    h = one_large_channel()
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(3))
    fmt = named("int4", 16)
    for method in (gpfq, qronos):
        assert dequantize(method(weight, h, h, absmax(weight, fmt), fmt)).isfinite().all()
    assert piso(weight, fmt, h, refine=True).scale.isfinite().all()


@pytest.mark.parametrize("share", [2e-3, 0.01, 0.5])
def test_what_no_rounding_explains_is_refused(share):
    _, xq, weight = layer()
    h = xq.T @ xq
    least_of_h = torch.linalg.eigvalsh(h.double())[0]
    broken = h - (least_of_h + share * h.trace()) * torch.eye(len(h))
    scales = absmax(weight, named("int4"))
    for method in (gpfq, qronos):
        with pytest.raises(NotPositiveDefinite, match="eigenvalue"):
            method(weight, broken.float(), None, scales, named("int4"))
