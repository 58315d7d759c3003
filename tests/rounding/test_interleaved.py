"""Scales found inside error correction."""

import pytest
import torch

from qcore.formats.coding import dequantize
from qcore.formats.format import named
from qcore.formats.quantized import Scales
from qcore.rounding.gptq import gptq
from qcore.rounding.interleaved import group_interleaved, group_order
from qcore.rounding.qronos import qronos
from qcore.scales.absmax import absmax
from qcore.scales.piso import piso


def layer(width=96, out=24, tokens=500, drift=0.02, seed=0):
    make = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, width, generator=make) @ (
        torch.randn(width, width, generator=make) + 3 * torch.eye(width)
    )
    x = x * torch.exp(0.7 * torch.randn(width, generator=make))
    xq = x + drift * x.std() * torch.randn(tokens, width, generator=make)
    return x, xq, torch.randn(out, width, generator=make)


def output_error(x, xq, weight, quantized):
    return float(((x @ weight.T - xq @ dequantize(quantized).T) ** 2).sum())


@pytest.mark.parametrize(
    ("name", "size", "width"),
    [("int4", 32, 96), ("int3_asym", 32, 96), ("mxfp4", 32, 96), ("int4", 160, 320)],
)
@pytest.mark.parametrize("method", ["gptq", "qronos"])
def test_fixed_scales_found_on_the_way_give_the_codes_of_fixed_scales(name, size, width, method):
    fmt = named(name, size)
    _, xq, weight = layer(width)
    h = xq.T @ xq
    scales = absmax(weight, fmt)
    order = group_order(h, width // size)
    # With scales that do not look at the weights, interleaving is plain correction in its order.
    visited = [int(group) for group in order[::size] // size]
    queue = iter(visited)

    def rule(_weight, _hessian):
        g = next(queue)
        zero = None if scales.zero is None else scales.zero[:, g : g + 1]
        return Scales(scales.scale[:, g : g + 1], zero)

    found = group_interleaved(weight, h, None, fmt, rule, method=method)
    back = order.argsort()
    moved = Scales(
        scales.scale[:, visited], None if scales.zero is None else scales.zero[:, visited]
    )
    plain = {"gptq": gptq, "qronos": lambda w, h, s, f, **kw: qronos(w, h, None, s, f, **kw)}
    expected = plain[method](weight[:, order], h[order][:, order], moved, fmt, act_order=False)
    assert torch.equal(found.scales.scale, scales.scale)
    same = (found.codes == expected.codes[:, back]).double().mean()
    assert same > 0.999
    assert found.damping == pytest.approx(expected.damping)


def test_one_group_is_layer_interleaving():
    _, xq, weight = layer()
    h, fmt = xq.T @ xq, named("int3")
    one = group_interleaved(weight, h, None, fmt, lambda w, h: piso(w, fmt, h))
    two = gptq(weight, h, piso(weight, fmt, h), fmt)
    torch.testing.assert_close(one.scales.scale, two.scales.scale, rtol=1e-5, atol=0)
    assert (one.codes == two.codes).double().mean() > 0.999


@pytest.mark.parametrize("method", ["gptq", "qronos"])
def test_scales_fitted_to_moved_weights_beat_scales_fitted_beforehand(method):
    x, xq, weight = layer(width=128, out=64)
    h, g = xq.T @ xq, xq.T @ x
    fmt = named("int2", 32)
    inside = group_interleaved(weight, h, g, fmt, lambda w, h: piso(w, fmt, h), method=method)
    scales = absmax(weight, fmt)
    before = gptq(weight, h, scales, fmt) if method == "gptq" else qronos(weight, h, g, scales, fmt)
    assert output_error(x, xq, weight, inside) < output_error(x, xq, weight, before)


def test_qronos_makes_up_for_what_gptq_does_not_see():
    x, xq, weight = layer(drift=0.2)
    h, g, fmt = xq.T @ xq, xq.T @ x, named("int4", 32)
    seen, unseen = (
        group_interleaved(weight, h, g, fmt, lambda w, h: piso(w, fmt, h), method=method)
        for method in ("qronos", "gptq")
    )
    assert output_error(x, xq, weight, seen) < output_error(x, xq, weight, unseen)


def test_groups_go_by_their_sum_and_columns_by_their_own_diagonal():
    diagonal = torch.tensor([1.0, 2.0, 9.0, 4.0, 5.0, 6.0])
    h = torch.diag(diagonal)
    assert group_order(h, 3).tolist() == [2, 3, 5, 4, 1, 0]
    assert group_order(h, 3, act_order=False).tolist() == [0, 1, 2, 3, 4, 5]
