import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.dispatch import record_choices
from qcore.calibration.sketch import (
    BINS,
    ChannelMoments,
    add_moments,
    add_moments_reference,
    bin_edges,
    bins_of,
    quantile,
)

FIELDS = ("total", "absolute", "fourth", "largest")


def heavy(tokens, width, seed=0, dtype=torch.float32):
    """Values with outlier channels, zeros and both signs."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, width, generator=generator) * torch.logspace(-3, 2, width)
    x[:, 0] = 0
    return x.to(dtype)


def both(x):
    fast, true = ChannelMoments.empty(x.shape[1]), ChannelMoments.empty(x.shape[1])
    add_moments(fast, x)
    add_moments_reference(true, x)
    return fast, true


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(1, 1), (37, 19), (129, 64)])
def test_the_compiled_pass_equals_the_reference(shape, dtype):
    fast, true = both(heavy(*shape, dtype=dtype))
    assert torch.equal(fast.histogram, true.histogram)
    assert torch.equal(fast.largest, true.largest)
    for field in FIELDS:
        torch.testing.assert_close(getattr(fast, field), getattr(true, field), rtol=1e-13, atol=0)


def test_non_contiguous_and_empty_inputs_are_counted_right():
    x = heavy(40, 24)
    fast, _ = both(x.T)
    _, true = both(x.T.contiguous())
    assert torch.equal(fast.histogram, true.histogram)
    nothing, _ = both(x[:0])
    assert int(nothing.histogram.sum()) == 0


def test_special_values_have_bins_of_their_own():
    smallest = torch.tensor([2.0**-149])
    specials = [0.0, -0.0, float("inf"), -float("inf"), float("nan"), 3.4028234663852886e38]
    x = torch.tensor([[*specials, float(smallest)]])
    fast, true = both(x)
    assert torch.equal(fast.histogram, true.histogram)
    last = BINS - 64
    assert bins_of(x)[0].tolist()[:4] == [0, 0, last, last]
    assert bins_of(x)[0, 4] >= last
    assert bins_of(x)[0, 5] == last - 1
    assert int(fast.histogram.sum()) == x.numel()


def test_a_nan_is_seen_in_its_channel():
    x = torch.ones(3, 4)
    x[1, 2] = float("nan")
    fast, true = both(x)
    for moments in (fast, true):
        assert moments.absolute.isnan().tolist() == [False, False, True, False]


@given(st.floats(min_value=2.0**-126, max_value=2.0**127, width=32))
def test_every_value_lies_in_its_bin_and_bins_are_narrower_than_two_per_cent(value):
    edges = bin_edges()
    place = int(bins_of(torch.tensor([value]))[0])
    assert edges[place] <= value < edges[place + 1]
    assert edges[place + 1] / edges[place] <= 1 + 1 / 64


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0]))
def test_a_quantile_is_within_the_promised_error(seed, share):
    x = heavy(200, 50, seed)
    moments, _ = both(x)
    exact = np.quantile(x.abs().numpy(), share, method="inverted_cdf")
    assert quantile(moments.histogram, share) == pytest.approx(exact, rel=1 / 128)


def test_quantiles_of_zeros_and_of_nothing():
    moments, _ = both(torch.zeros(4, 4))
    assert quantile(moments.histogram, 0.5) == 0
    with pytest.raises(ValueError, match=r"no quantile 0.5 of 0 values"):
        quantile(torch.zeros(BINS, dtype=torch.int64), 0.5)
    with pytest.raises(ValueError, match="no quantile 2"):
        quantile(moments.histogram, 2)


def test_histograms_of_two_texts_add_up():
    first, second = heavy(50, 8, 1), heavy(70, 8, 2)
    together, _ = both(torch.cat([first, second]))
    assert torch.equal(both(first)[0].histogram + both(second)[0].histogram, together.histogram)


def test_a_run_can_tell_what_sketched():
    moments = ChannelMoments.empty(4)
    with record_choices() as record:
        add_moments(moments, torch.ones(3, 4))
        add_moments(moments, torch.ones(3, 4), implementation="torch")
        add_moments(moments, torch.ones(0, 4))
    found = {(item.implementation, item.why) for item in record.counts()}
    assert found == {
        ("compiled", "the twin for cpu"),
        ("torch", "asked for"),
        ("torch", "nothing to add"),
    }
    assert int(moments.histogram.sum()) == 24
