"""Greedy continuations: the most likely token again and again, and where two part."""

from __future__ import annotations

import pytest
import torch

from qcore.errors import DataError, NumericalError
from qcore.evaluation.continuation import Continuation, continue_greedily, equal_prefix
from tests.models.factories import PROSE, tiny_model, tiny_tokenizer

PROMPT = " ".join(PROSE.split()[:6])


@pytest.fixture(scope="module")
def network():
    return tiny_model("llama").eval(), tiny_tokenizer()


def test_every_token_is_the_most_likely_after_all_before_it(network) -> None:
    model, tokenizer = network
    found = continue_greedily(model, tokenizer, PROMPT, 12)
    text = [*tokenizer.encode(PROMPT), *found.tokens]
    read = len(text) - len(found.tokens)
    with torch.no_grad():
        logits = model(torch.tensor([text])).logits[0]
    assert list(found.tokens) == logits[read - 1 : -1].argmax(-1).tolist()
    assert len(found.pieces) == len(found.tokens) <= 12


def test_the_text_so_far_is_told_while_it_grows(network) -> None:
    told: list[tuple[int, int, str]] = []
    continue_greedily(*network, PROMPT, 5, lambda *step: told.append(step))
    assert [step[:2] for step in told][:2] == [(1, 5), (2, 5)]
    assert all(step[2].startswith("…") for step in told)


def test_a_text_ends_where_the_network_ends_it(network) -> None:
    model, tokenizer = network
    first = continue_greedily(model, tokenizer, PROMPT, 3).tokens[0]
    before = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = [first]
    try:
        found = continue_greedily(model, tokenizer, PROMPT, 3)
    finally:
        model.generation_config.eos_token_id = before
    assert found.ended
    assert found.tokens == (first,)


def test_prompts_that_cannot_be_continued_are_refused(network, monkeypatch) -> None:
    model, tokenizer = network
    with pytest.raises(DataError, match="no tokens"):
        continue_greedily(model, tokenizer, "", 3)
    monkeypatch.setattr(model.config, "max_position_embeddings", 8)
    with pytest.raises(DataError, match="shorten it to 3 tokens"):
        continue_greedily(model, tokenizer, PROMPT, 5)


def test_outputs_that_are_not_finite_are_refused(network) -> None:
    broken = tiny_model("llama").eval()
    with torch.no_grad():
        broken.get_output_embeddings().weight.fill_(torch.nan)
    with pytest.raises(NumericalError, match="not finite"):
        continue_greedily(broken, network[1], PROMPT, 3)


def test_the_equal_prefix_ends_at_the_first_other_token_or_with_the_shorter_text() -> None:
    def said(*tokens: int) -> Continuation:
        return Continuation(tokens, tuple(map(str, tokens)), ended=False)

    assert equal_prefix(said(1, 2, 3), said(1, 2, 4)) == 2
    assert equal_prefix(said(1, 2), said(1, 2, 4)) == 2
    assert equal_prefix(said(), said(1)) == 0
