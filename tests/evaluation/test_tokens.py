"""What is kept of every token is what a direct computation in float64 gives."""

from __future__ import annotations

import math

import pytest
import torch

from qcore.errors import CorruptEntry, DataError
from qcore.evaluation.perplexity import (
    score_reference_tokens,
    score_tokens,
    score_window,
    take_reference,
    window_score,
)
from qcore.evaluation.tokens import TokenScores, token_statistics


@pytest.fixture(scope="module")
def scored(model, other, windows):
    """Windows of the changed network and of the float one, token by token."""
    reference = take_reference(model, windows)
    changed = [score_tokens(other, w, reference, i) for i, w in enumerate(windows)]
    base = [score_reference_tokens(reference, w, i) for i, w in enumerate(windows)]
    return changed, base


@pytest.fixture(scope="module")
def direct(model, other, windows):
    """The textbook way in float64: all logits of all windows at once."""
    with torch.no_grad():
        p = torch.cat([model.double()(w[None]).logits[0, :-1] for w in windows]).log_softmax(-1)
        q = torch.cat([other.double()(w[None]).logits[0, :-1] for w in windows]).log_softmax(-1)
    model.float()
    other.float()
    at = windows[:, 1:].reshape(-1, 1)
    mine, float_mine = q.gather(1, at)[:, 0], p.gather(1, at)[:, 0]
    return {
        "loss": -mine,
        "base": -float_mine,
        "kl": (p.exp() * (p - q)).sum(-1),
        "delta_p": mine.exp() - float_mine.exp(),
        "agreement": (p.argmax(-1) == q.argmax(-1)).double(),
    }


def test_every_tokens_numbers_are_those_of_the_full_logits(scored, direct):
    changed, base = scored
    for name in ("loss", "kl", "delta_p"):
        found = torch.cat([getattr(window, name) for window in changed]).double()
        torch.testing.assert_close(found, direct[name], rtol=1e-4, atol=2e-5)
    assert torch.equal(torch.cat([w.agreement for w in changed]).double(), direct["agreement"])
    found = torch.cat([window.loss for window in base]).double()
    torch.testing.assert_close(found, direct["base"], rtol=1e-4, atol=2e-5)


def test_a_windows_score_is_the_mean_of_its_tokens(model, other, windows):
    reference = take_reference(model, windows)
    tokens = score_tokens(other, windows[1], reference, 1)
    assert score_window(other, windows[1], reference, 1) == window_score(tokens)


def test_statistics_are_those_of_an_independent_computation(scored):
    changed, base = scored
    found = token_statistics(changed)
    kl = sorted(float(x) for window in changed for x in window.kl.double())
    gaps = [
        float(x)
        for one, two in zip(changed, base, strict=True)
        for x in one.loss.double() - two.loss.double()
    ]
    n = len(kl)
    mean = math.fsum(kl) / n
    error = math.sqrt(math.fsum((x - mean) ** 2 for x in kl) / (n - 1) / n)
    assert found.tokens == n
    assert (found.kl.value, found.kl.error) == pytest.approx((mean, error), rel=1e-9)
    assert (found.kl_least, found.kl_most) == (kl[0], kl[-1])
    middle = kl[n // 2] if n % 2 else (kl[n // 2 - 1] + kl[n // 2]) / 2
    assert found.kl_quantiles["0.5"] == pytest.approx(middle, rel=1e-9)
    assert found.log_ratio.value == pytest.approx(math.fsum(gaps) / n, rel=1e-9)
    ratio = math.log(found.perplexity.value / found.float_perplexity.value)
    assert ratio == pytest.approx(found.log_ratio.value, rel=1e-9)
    squares = [float(x) ** 2 for window in changed for x in window.delta_p.double()]
    assert found.delta_p_rms.value == pytest.approx(math.sqrt(math.fsum(squares) / n), rel=1e-9)
    same = sum(int(window.agreement.sum()) for window in changed)
    assert found.same_top.value == same / n
    assert found.same_top.error == pytest.approx(math.sqrt(same / n * (1 - same / n) / (n - 1)))


def test_the_correlation_is_one_where_losses_differ_by_a_constant():
    base = torch.tensor([1.0, 2.0, 4.0])
    kl, change, same = torch.ones(3), -torch.ones(3) / 8, torch.ones(3).bool()
    found = token_statistics([TokenScores(base + 0.5, kl, change, same, base)])
    assert found.correlation == pytest.approx(1.0)
    assert (found.log_ratio.value, found.log_ratio.error) == pytest.approx((0.5, 0.0))
    constant = TokenScores(base + 0.5, kl, change, same, torch.ones(3))
    assert token_statistics([constant]).correlation is None


def test_scores_survive_their_tensors(scored):
    for window in (*scored[0], *scored[1]):
        again = TokenScores.from_tensors(window.to_tensors())
        for name in ("loss", "kl", "delta_p", "agreement", "float_loss"):
            one, two = getattr(window, name), getattr(again, name)
            assert (one is None and two is None) or torch.equal(one, two)


def test_the_float_losses_beside_a_run_are_the_float_networks_own(scored):
    for run, base in zip(*scored, strict=True):
        assert torch.equal(run.float_loss, base.loss)


def test_windows_without_divergence_and_no_windows_are_refused(scored):
    with pytest.raises(DataError, match="without the float network"):
        token_statistics(scored[1])
    with pytest.raises(DataError, match="no windows"):
        token_statistics([])


def test_torn_scores_are_refused():
    with pytest.raises(CorruptEntry):
        TokenScores.from_tensors({"kl": torch.ones(3)})
    with pytest.raises(CorruptEntry):
        TokenScores.from_tensors({"loss": torch.ones(3), "kl": torch.ones(2)})
