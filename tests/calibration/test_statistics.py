import pytest
import torch
from safetensors.torch import load, save

from qcore.calibration.statistics import (
    SAMPLE,
    Accumulator,
    BlockStatistics,
    SiteStatistics,
    sampled_tokens,
)
from qcore.errors import CorruptEntry, NumericalError


def tokens(count, width=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator)
    return torch.randn(count, width, generator=generator) @ mixing + 0.5


def collect(x, parts=1, float_x=None):
    total = Accumulator(x.shape[1], len(x), cross=float_x is not None)
    others = [None] * parts if float_x is None else float_x.chunk(parts)
    for part, other in zip(x.chunk(parts), others, strict=True):
        total.add(part, other)
    return total.finish("0.test")


def relative(found, expected):
    return float((found.double() - expected).square().sum() / expected.square().sum())


def test_every_field_is_the_mean_that_it_claims_to_be():
    x = tokens(300)
    wide, found = x.double(), collect(x, parts=4)
    assert found.tokens == 300
    assert relative(found.hessian, wide.T @ wide / 300) < 1e-12
    assert relative(found.mean, wide.mean(0)) < 1e-12
    assert relative(found.mean_abs, wide.abs().mean(0)) < 1e-12
    assert relative(found.mean_fourth, wide.pow(4).mean(0)) < 1e-12
    assert torch.equal(found.max_abs, x.abs().amax(0))
    assert int(found.histogram.sum()) == x.numel()
    assert found.cross is None


def test_the_hessian_is_exactly_symmetric():
    found = collect(tokens(500, 65), parts=3)
    assert torch.equal(found.hessian, found.hessian.T)


def test_cross_moments_have_quantized_inputs_in_rows_and_float_inputs_in_columns():
    x = tokens(200)
    rounded = torch.zeros_like(x)
    rounded[:, 3] = x[:, 5].round()
    found = collect(rounded, 2, x)
    expected = rounded.double().T @ x.double() / 200
    assert relative(found.cross, expected) < 1e-12
    assert relative(found.cross, expected.T) > 0.1
    assert int(found.cross.any(dim=1).sum()) == 1


def test_kurtosis_tells_a_normal_distribution_from_one_with_outliers():
    generator = torch.Generator().manual_seed(1)
    normal = torch.randn(20_000, 4, generator=generator)
    assert collect(normal).kurtosis == pytest.approx(3, rel=0.05)
    normal[:, 0] *= 50
    assert collect(normal).kurtosis > 10
    assert collect(torch.zeros(5, 4)).kurtosis == 0


def test_merging_two_texts_equals_reading_both():
    x = tokens(300)
    merged = collect(x[:70]).merge(collect(x[70:]))
    whole = collect(x)
    assert merged.tokens == whole.tokens
    for field in ("hessian", "mean", "mean_abs", "mean_fourth"):
        assert relative(getattr(merged, field), getattr(whole, field).double()) < 1e-12
    assert torch.equal(merged.max_abs, whole.max_abs)
    assert torch.equal(merged.histogram, whole.histogram)
    assert len(merged.sample) <= SAMPLE


def test_merging_keeps_cross_moments_when_both_have_them():
    x, y = tokens(90), tokens(90, seed=1)
    merged = collect(x[:30], 1, y[:30]).merge(collect(x[30:], 1, y[30:]))
    assert relative(merged.cross, collect(x, 1, y).cross.double()) < 1e-12
    assert collect(x, 1, y).merge(collect(x)).cross is None


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 512, 8192])
def test_sampled_tokens_are_distinct_sorted_and_spread_evenly(count):
    chosen = sampled_tokens(count)
    assert chosen[0] == 0
    assert bool((chosen.diff() > 0).all())
    assert int(chosen[-1]) < count
    assert len(chosen) <= SAMPLE
    if count >= 512:
        assert len(chosen) == SAMPLE
        gaps = torch.cat([chosen, torch.tensor([count])]).diff()
        assert int(gaps.max()) <= 3 * count / SAMPLE


def test_the_first_tokens_of_windows_keep_their_share_of_the_sample():
    chosen = sampled_tokens(16 * 512)
    assert int((chosen % 512 == 0).sum()) <= 2


@pytest.mark.parametrize("parts", [1, 5, 100])
def test_the_sample_holds_the_chosen_tokens_whatever_the_steps(parts):
    x = tokens(100)
    assert torch.equal(collect(x, parts).sample, x[sampled_tokens(100)])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_inputs_that_are_not_finite_are_an_error_that_names_the_site(value):
    x = tokens(20)
    x[3, 1] = value
    with pytest.raises(NumericalError, match=r"0.test has NaN or infinite inputs in 1 channels"):
        collect(x)


def test_statistics_survive_safetensors_unchanged():
    x = tokens(90)
    block = BlockStatistics(4, {"mlp_input": collect(x), "mlp_hidden": collect(x, 1, x.round())})
    back = BlockStatistics.from_tensors(4, load(save(block.to_tensors())))
    assert (back.block, back.sites.keys()) == (4, block.sites.keys())
    for name, site in block.sites.items():
        again = back.sites[name].to_tensors()
        assert site.to_tensors().keys() == again.keys()
        assert all(torch.equal(tensor, again[key]) for key, tensor in site.to_tensors().items())


def test_stored_statistics_that_lack_a_field_or_disagree_are_corrupt():
    stored = collect(tokens(30)).to_tensors()
    with pytest.raises(CorruptEntry, match="lack mean_abs"):
        SiteStatistics.from_tensors({k: v for k, v in stored.items() if k != "mean_abs"})
    with pytest.raises(CorruptEntry, match="width 12 have fields of other widths"):
        SiteStatistics.from_tensors({**stored, "max_abs": torch.zeros(11)})


def test_one_token_is_enough():
    x = tokens(1)
    found = collect(x)
    assert found.tokens == 1
    assert relative(found.hessian, x.double().T @ x.double()) < 1e-12
