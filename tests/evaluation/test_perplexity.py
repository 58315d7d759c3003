import math

import pytest
import torch
from torch.nn import functional

from qcore.errors import DataError, NumericalError, QuantscopeError
from qcore.evaluation.divergence import Head, Reference
from qcore.evaluation.perplexity import (
    agreement_definition,
    definition,
    divergence_definition,
    perplexity,
    score,
    score_reference_tokens,
    score_window,
    take_reference,
)
from qcore.numerics import distributions
from tests.models.factories import WORDS, tiny_llama


def direct_loss(model, window):
    """The textbook way: all logits at once, in fp64."""
    with torch.no_grad():
        full = model(window[None]).logits[0].double()
    return float(functional.cross_entropy(full[:-1], window[1:]))


def direct_divergence(float_model, model, window):
    with torch.no_grad():
        p = float_model(window[None]).logits[0, :-1].double().log_softmax(-1)
        q = model(window[None]).logits[0, :-1].double().log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1).mean()
    agreement = (p.argmax(-1) == q.argmax(-1)).double().mean()
    return float(kl), float(agreement)


@pytest.mark.parametrize("tied", [False, True])
def test_losses_are_those_of_the_full_logits(windows, tied):
    model = tiny_llama(3, tied=tied)
    for window, scored in zip(windows, score(model, windows), strict=True):
        assert scored.loss == pytest.approx(direct_loss(model, window), rel=1e-6)
        assert scored.tokens == 39
        assert scored.kl is None
        assert scored.agreement is None


def test_divergence_is_that_of_the_full_logits(model, other, windows):
    reference = take_reference(model, windows)
    for window, scored in zip(windows, score(other, windows, reference), strict=True):
        kl, agreement = direct_divergence(model, other, window)
        assert kl > 0.01
        assert 0 < agreement < 1
        assert scored.kl == pytest.approx(kl, rel=1e-5)
        assert scored.agreement == pytest.approx(agreement)
        assert scored.loss == pytest.approx(direct_loss(other, window), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_float_network_diverges_from_itself_by_exactly_nothing(windows, dtype):
    model = tiny_llama(4, dtype=dtype)
    reference = take_reference(model, windows)
    for scored in score(model, windows, reference):
        assert scored.kl == 0.0
        assert scored.agreement == 1.0


def test_a_tiny_change_gives_a_tiny_divergence_that_is_not_lost_in_rounding(model, windows):
    # A shift of one logit by ε moves KL by p(1 − p) ε²/2: 2e-8 nats here, where log-probabilities
    # of size 5 already have rounding errors of 5e-7.
    reference = take_reference(model, windows)
    shift = torch.zeros(WORDS)
    shift[7] = 0.01
    moved = Reference(reference.hidden, Head(reference.head.weight, shift))
    scored = list(score(model, windows, moved))
    for window, one in zip(windows, scored, strict=True):
        with torch.no_grad():
            q = model(window[None]).logits[0, :-1].double()
        p = (q + shift.double()).log_softmax(-1)
        exact = float((p.exp() * (p - q.log_softmax(-1))).sum(-1).mean())
        assert one.kl == pytest.approx(exact, abs=2e-8)
        assert one.kl > -1e-8


@pytest.mark.parametrize("rows", [1, 7, 38, 39, 1000])
def test_the_size_of_a_chunk_changes_no_score(model, other, windows, rows, monkeypatch):
    reference = take_reference(model, windows)
    whole = list(score(other, windows, reference))
    monkeypatch.setattr(distributions, "CHUNK_LOGITS", rows * WORDS)
    for before, now in zip(whole, score(other, windows, reference), strict=True):
        assert now.loss == pytest.approx(before.loss, rel=1e-6)
        assert now.kl == pytest.approx(before.kl, rel=1e-5)
        assert now.agreement == before.agreement


def test_full_logits_of_a_window_are_never_made(model, windows, monkeypatch):
    monkeypatch.setattr(distributions, "CHUNK_LOGITS", 8 * WORDS)
    rows = []
    applied = Head.__call__

    def counted(head, hidden):
        rows.append(len(hidden))
        return applied(head, hidden)

    monkeypatch.setattr(Head, "__call__", counted)
    list(score(model, windows[:1]))
    assert max(rows) == 8
    assert sum(rows) == 39


def test_a_window_scores_the_same_alone_as_in_a_row_of_windows(model, other, windows):
    reference = take_reference(model, windows)
    together = list(score(other, windows, reference))
    alone = [score_window(other, windows[i], reference, i) for i in range(3)]
    assert alone == together


def test_asking_for_divergence_leaves_the_loss_as_it_was_to_the_last_bit(model, other, windows):
    reference = take_reference(model, windows)
    with_kl = [scored.loss for scored in score(other, windows, reference)]
    assert with_kl == [scored.loss for scored in score(other, windows)]


def test_kept_hidden_states_give_the_float_scores_without_another_pass(model, windows):
    reference = take_reference(model, windows)
    kept = [score_reference_tokens(reference, w, i).loss for i, w in enumerate(windows)]
    again = [float(losses.double().mean()) for losses in kept]
    assert again == [scored.loss for scored in score(model, windows, reference)]


def test_a_reference_survives_being_stored(model, other, windows, tmp_path):
    from safetensors.torch import load_file, save_file

    reference = take_reference(model, windows)
    save_file(reference.to_tensors(), tmp_path / "reference.safetensors")
    back = Reference.from_tensors(load_file(tmp_path / "reference.safetensors"))
    assert list(score(other, windows, back)) == list(score(other, windows, reference))


def test_a_reference_stored_without_its_head_takes_the_float_models(model, other, windows):
    reference = take_reference(model, windows)
    tensors = reference.to_tensors(with_head=False)
    assert set(tensors) == {"hidden"}
    back = Reference.from_tensors(tensors, reference.head)
    assert list(score(other, windows, back)) == list(score(other, windows, reference))


def test_progress_is_told_after_every_window(model, windows):
    told = []
    list(score(model, windows, progress=lambda done, total, message: told.append((done, total))))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_perplexity_is_the_exponential_of_the_mean_loss():
    assert perplexity([1.0, 3.0]) == pytest.approx(math.exp(2))


def test_definitions_say_windows_length_predictions_and_that_there_is_no_bos():
    for text in (definition(8, 512), divergence_definition(8, 512), agreement_definition(8, 512)):
        assert "8 " in text
        assert "512" in text
        assert "4088" in text
        assert "no BOS" in text


@pytest.mark.parametrize(
    ("bad", "fact"),
    [
        (torch.zeros(0, 8, dtype=torch.long), "cannot be scored"),
        (torch.zeros(2, 1, dtype=torch.long), "cannot be scored"),
        (torch.zeros(8, dtype=torch.long), "cannot be scored"),
        (torch.full((1, 8), WORDS), f"token {WORDS} is outside"),
        (torch.full((1, 8), -1), "token -1 is outside"),
    ],
)
def test_windows_that_cannot_be_scored_are_refused(model, bad, fact):
    with pytest.raises(DataError, match=fact):
        list(score(model, bad))


def test_a_reference_taken_on_other_windows_is_refused(model, windows):
    with pytest.raises(DataError, match="3 windows of 20 tokens"):
        list(score(model, windows, take_reference(model, windows[:, :20])))
    with pytest.raises(DataError, match="window 2"):
        list(score(model, windows, take_reference(model, windows[:2])))


def test_a_network_that_overflows_is_refused_and_not_averaged(windows):
    broken = tiny_llama(5)
    with torch.no_grad():
        broken.model.norm.weight[3] = float("inf")
    with pytest.raises(NumericalError, match="window 0"):
        list(score(broken, windows))


def test_a_loss_without_a_finite_exponential_is_refused():
    for losses in ([1000.0], [float("nan")], []):
        with pytest.raises(QuantscopeError):
            perplexity(losses)


@pytest.mark.parametrize("missing", ["hidden", "head.weight"])
def test_an_incomplete_stored_reference_is_refused(model, windows, missing):
    tensors = take_reference(model, windows).to_tensors()
    del tensors[missing]
    with pytest.raises(QuantscopeError, match="lacks"):
        Reference.from_tensors(tensors)


def test_a_stored_reference_of_another_width_is_refused(model, windows):
    tensors = take_reference(model, windows).to_tensors()
    tensors["hidden"] = tensors["hidden"][..., :32]
    with pytest.raises(QuantscopeError, match="width 64"):
        Reference.from_tensors(tensors)


@pytest.mark.parametrize(
    ("is_float", "advice"), [(True, "another checkpoint"), (False, "use more bits")]
)
def test_outputs_that_are_not_finite_are_refused_with_what_can_help(
    model, windows, is_float, advice
):
    hidden = torch.full((1, windows.shape[1], 64), torch.nan)
    reference = Reference(hidden, Head(model.lm_head.weight, None))

    def scored():
        if is_float:
            return score_reference_tokens(reference, windows[0])
        return score_window(model, windows[0], reference)

    with pytest.raises(NumericalError, match=advice):
        scored()
