from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kernels.elements.values import nearest
from qcore.errors import InvalidRecipe, NotPositiveDefinite, NumericalError
from qcore.formats.coding import dequantize, element_of, grid
from qcore.formats.format import Format, named
from qcore.formats.quantized import Quantized, Scales
from qcore.rounding.feedback import (
    column_order,
    feedback_factor,
    pending_columns,
    propagated_error,
    round_with_feedback,
)
from qcore.rounding.gptq import gptq
from qcore.rounding.rtn import rtn
from qcore.scales.find import find_scales

FORMATS = [
    named("int4"),
    named("int4", 32),
    named("int2", 64),
    named("int3_asym"),
    named("int4_asym", 64),
    named("int8"),
    named("mxfp4"),
    named("mxfp6_e2m3"),
    named("mxfp6_e3m2"),
    named("mxfp8_e4m3"),
    named("mxfp8_e5m2"),
    named("mxint8"),
]


def title(fmt: Format) -> str:
    return f"{fmt.name}-{fmt.group}"


def correlated(width: int, tokens: int = 1500, seed: int = 0) -> Tensor:
    """Inputs whose channels differ in size and follow one another."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(tokens, width, generator=generator)
    mixed = mixed @ torch.randn(width, width, generator=generator) / width**0.5
    return mixed * torch.exp(torch.randn(width, generator=generator))


def example(fmt: Format, out: int = 70, width: int = 192, seed: int = 0):
    inputs = correlated(width, seed=seed)
    weight = torch.randn(out, width, generator=torch.Generator().manual_seed(seed + 1))
    return weight, inputs, inputs.T @ inputs, find_scales("mse", weight, fmt)


def output_error(weight: Tensor, quantized: Quantized, inputs: Tensor) -> float:
    """‖X(W − Ŵ)ᵀ‖² / ‖XWᵀ‖²."""
    wrong = inputs.double() @ (weight - dequantize(quantized)).double().T
    return float(wrong.square().sum() / (inputs.double() @ weight.double().T).square().sum())


def textbook_gptq(
    weight: Tensor, hessian: Tensor, scales: Scales, fmt: Format, order: Tensor, damping: float
) -> Tensor:
    """Algorithm 1 of the paper with the inverse Hessian spelled out, in float64."""
    element = element_of(fmt)
    group = order // (weight.shape[1] // scales.scale.shape[1])
    rest, h = weight.double()[:, order], hessian.double()[order][:, order]
    h = h + damping * h.diagonal().mean() * torch.eye(len(h))
    upper = torch.linalg.cholesky(torch.linalg.inv(h), upper=True)
    rounded = torch.empty_like(rest)
    for i in range(rest.shape[1]):
        scale = scales.scale[:, group[i]]
        zero = None if scales.zero is None else scales.zero[:, group[i]]
        rounded[:, i] = (nearest((rest[:, i] / scale).float(), element, zero) * scale).double()
        error = (rest[:, i] - rounded[:, i]) / upper[i, i]
        rest[:, i:] -= error[:, None] * upper[i, i:]
    return torch.empty_like(rounded).index_copy_(1, order, rounded).float()


@pytest.mark.parametrize("fmt", FORMATS, ids=title)
def test_round_to_nearest_has_less_weight_error_than_any_other_codes(fmt):
    weight, _, hessian, scales = example(fmt)
    rounded = (weight - dequantize(rtn(weight, scales, fmt))).abs()
    corrected = (weight - dequantize(gptq(weight, hessian, scales, fmt))).abs()
    assert (rounded <= corrected + 1e-6).all()  # float32 ties: weights are up to 4
    scale = scales.scale.repeat_interleave(192 // scales.scale.shape[1], 1)
    zero = torch.zeros_like(scales.scale) if scales.zero is None else scales.zero
    zero = zero.repeat_interleave(192 // scales.scale.shape[1], 1)
    for value in grid(fmt):
        other = weight - scale * (value - zero)
        assert (rounded <= other.abs() + 1e-6).all()


@pytest.mark.parametrize("fmt", FORMATS, ids=title)
@pytest.mark.parametrize("act_order", [True, False])
def test_gptq_beats_round_to_nearest_on_layer_output_error(fmt, act_order):
    weight, inputs, hessian, scales = example(fmt)
    corrected = gptq(weight, hessian, scales, fmt, act_order=act_order)
    rounded = output_error(weight, rtn(weight, scales, fmt), inputs)
    assert output_error(weight, corrected, inputs) < 0.7 * rounded
    assert corrected.damping == 0.01
    assert corrected.scales is scales


@pytest.mark.parametrize("fmt", FORMATS, ids=title)
@pytest.mark.parametrize("act_order", [True, False])
@pytest.mark.parametrize("implementation", ["torch", "compiled"])
def test_blocked_gptq_gives_the_textbooks_codes(fmt, act_order, implementation):
    weight, _, hessian, scales = example(fmt, out=50, width=320, seed=2)
    order = column_order(hessian, act_order=act_order)
    factor = feedback_factor(hessian, order, damping=0.01)
    codes = round_with_feedback(
        weight, factor.upper, scales, fmt, order=order, implementation=implementation
    )
    found = dequantize(Quantized(codes, scales, fmt))
    expected = textbook_gptq(weight, hessian, scales, fmt, order, 0.01)
    # A float32 near-tie that goes the other way moves the rest of its channel with good reason:
    # what must agree is each decision made from the same past. At 4 bits ties are rare enough for
    # the codes themselves.
    same_past = (found == expected)[:, order].cummin(1).values
    assert (~same_past[:, -1]).sum() <= 0.001 * same_past.sum()
    if fmt.bits <= 4:
        assert (found != expected).float().mean() <= 0.001


@pytest.mark.parametrize("fmt", FORMATS, ids=title)
@pytest.mark.parametrize("act_order", [True, False])
def test_with_a_diagonal_hessian_gptq_is_round_to_nearest(fmt, act_order):
    weight, _, hessian, scales = example(fmt)
    diagonal = torch.diag(hessian.diagonal())
    found = gptq(weight, diagonal, scales, fmt, act_order=act_order)
    assert torch.equal(found.codes, rtn(weight, scales, fmt).codes)


def test_two_columns_worked_by_hand():
    # H = [[4, 2], [2, 2]]: an error e in the first column is best undone by 2e/2 in the second.
    fmt, scales = named("int8"), Scales(torch.tensor([[1.0]]))
    hessian = torch.tensor([[4.0, 2.0], [2.0, 2.0]])
    found = gptq(torch.tensor([[0.4, 0.3]]), hessian, scales, fmt, damping=1e-6)
    assert found.codes.tolist() == [[0, 1]]
    # Visited the other way, the error 0.3 of the second moves the first by 2·0.3/4 only.
    flipped = gptq(torch.tensor([[0.3, 0.4]]), hessian.flip(0, 1), scales, fmt, act_order=False)
    assert flipped.codes.tolist() == [[0, 1]]


def test_the_hessians_scale_does_not_matter():
    fmt = named("int3", 64)
    weight, _, hessian, scales = example(fmt)
    codes = gptq(weight, hessian, scales, fmt).codes
    assert torch.equal(gptq(weight, hessian * 2.0**-20, scales, fmt).codes, codes)


def test_codes_do_not_depend_on_the_other_channels():
    fmt = named("int4", 32)
    weight, _, hessian, scales = example(fmt)
    alone = gptq(weight[9:10], hessian, Scales(scales.scale[9:10]), fmt)
    together = gptq(weight, hessian, scales, fmt).codes[9:10]
    assert (alone.codes != together).float().mean() <= 0.02  # sums in another order


def test_act_order_commutes_with_a_permutation_of_the_inputs():
    fmt = named("int4")
    weight, _, hessian, scales = example(fmt)
    shuffle = torch.randperm(192, generator=torch.Generator().manual_seed(5))
    plain = gptq(weight, hessian, scales, fmt).codes
    shuffled = gptq(weight[:, shuffle], hessian[shuffle][:, shuffle], scales, fmt).codes
    assert torch.equal(shuffled, plain[:, shuffle])


def test_a_repeated_run_gives_the_same_codes():
    weight, _, hessian, scales = example(named("mxfp4"))
    runs = [gptq(weight, hessian, scales, named("mxfp4")).codes for _ in range(3)]
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("fmt", [named("int4"), named("int4_asym", 32), named("mxfp4")], ids=title)
def test_dead_columns_are_rounded_to_nearest_and_disturb_nobody(fmt):
    weight, inputs, _, scales = example(fmt)
    inputs[:, 10:14] = 0
    hessian = inputs.T @ inputs
    found = gptq(weight, hessian, scales, fmt).codes
    assert torch.equal(found[:, 10:14], rtn(weight, scales, fmt).codes[:, 10:14])
    elsewhere = weight.clone()
    elsewhere[:, 10:14] = 0
    alive = [column for column in range(192) if not 10 <= column < 14]
    assert torch.equal(gptq(elsewhere, hessian, scales, fmt).codes[:, alive], found[:, alive])


def test_a_hessian_of_zeros_gives_round_to_nearest():
    fmt = named("int4")
    weight, _, _, scales = example(fmt)
    found = gptq(weight, torch.zeros(192, 192), scales, fmt)
    assert torch.equal(found.codes, rtn(weight, scales, fmt).codes)


def test_one_calibration_token_is_enough_to_run():
    fmt = named("int4")
    weight, inputs, _, scales = example(fmt)
    one = inputs[:1]
    found = gptq(weight, one.T @ one, scales, fmt)
    assert found.damping == 0.01
    assert output_error(weight, found, one) < output_error(weight, rtn(weight, scales, fmt), one)


def test_damping_rises_in_steps_of_ten_and_is_reported():
    fmt = named("int4")
    weight, _, hessian, scales = example(fmt)
    values, vectors = torch.linalg.eigh(hessian.double())
    values[0] = -0.05 * hessian.diagonal().mean()  # what float16 accumulation can do
    indefinite = ((vectors * values) @ vectors.T).float()
    assert gptq(weight, indefinite, scales, fmt).damping == pytest.approx(0.1)
    assert gptq(weight, indefinite, scales, fmt, damping=0.02).damping == pytest.approx(0.2)


def test_a_hessian_without_a_factor_at_any_damping_is_refused():
    fmt = named("int4")
    weight, _, hessian, scales = example(fmt)
    with pytest.raises(NotPositiveDefinite, match="no Cholesky factor at damping 1 of its mean"):
        gptq(weight, hessian - 5 * hessian.diagonal().mean() * torch.eye(192), scales, fmt)


def test_broken_or_ill_fitting_input_is_refused():
    fmt = named("int4")
    weight, _, hessian, scales = example(fmt)
    with pytest.raises(InvalidRecipe, match=r"Hessian of \(64, 64\) does not fit .* \(70, 192\)"):
        gptq(weight, hessian[:64, :64], scales, fmt)
    broken = hessian.clone()
    broken[3, 4] = float("nan")
    with pytest.raises(NumericalError, match="1 of 36864 entries of the Hessian"):
        gptq(weight, broken, scales, fmt)
    weight[0, 0] = float("inf")
    for method in (
        lambda: gptq(weight, hessian, scales, fmt),
        lambda: rtn(weight, scales, fmt),
    ):
        with pytest.raises(NumericalError, match="1 of 13440 entries of the weight"):
            method()


def test_the_factor_is_upper_with_a_unit_diagonal_and_rebuilds_the_damped_hessian():
    hessian = example(named("int4"))[2]
    order = column_order(hessian)
    factor = feedback_factor(hessian, order, damping=0.05)
    assert torch.equal(factor.upper.tril(-1), torch.zeros(192, 192))
    assert torch.equal(factor.upper.diagonal(), torch.ones(192))
    damped = hessian.double()[order][:, order]
    damped.diagonal().add_(0.05 * damped.diagonal().mean())
    upper = factor.upper.double()
    pivots = torch.linalg.solve_triangular(upper, damped, upper=True).diagonal()
    rebuilt = (upper * pivots) @ upper.T
    assert (rebuilt - damped).norm() < 1e-5 * damped.norm()


def test_columns_are_ordered_by_falling_diagonal_and_ties_by_position():
    hessian = torch.diag(torch.tensor([1.0, 3.0, 3.0, 2.0]))
    assert column_order(hessian).tolist() == [1, 2, 3, 0]
    assert column_order(hessian, act_order=False).tolist() == [0, 1, 2, 3]


def test_pending_columns_minimise_the_objective_given_the_errors_so_far():
    _, _, hessian, _ = example(named("int4"), width=48)
    hessian = hessian[:48, :48].double()
    upper = feedback_factor(hessian, damping=1e-9).upper
    columns = torch.randn(48, 5, generator=torch.Generator().manual_seed(7))
    errors = torch.zeros(48, 5)
    errors[:20] = torch.randn(20, 5, generator=torch.Generator().manual_seed(8)) * 0.1
    # min over e_later of eᵀHe: H_ll e_l = −H_le e_e
    later = -torch.linalg.solve(hessian[20:, 20:], hessian[20:, :20] @ errors[:20].double())
    expected = columns[20:32] - later[:12].float()
    found = pending_columns(columns, upper, errors, slice(20, 32))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    first = columns[20] + propagated_error(upper, errors, slice(20, 21))[0]
    torch.testing.assert_close(first, expected[0], rtol=1e-3, atol=1e-4)
