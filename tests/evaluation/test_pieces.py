"""The pieces of a text are the text, and no character is shown torn."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from qcore.evaluation.pieces import token_pieces


def byte_level() -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are single bytes: every character outside ASCII is torn."""
    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={sign: at for at, sign in enumerate(signs)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made)


def with_blanks_before_words() -> PreTrainedTokenizerFast:
    """One that drops the first blank of what it decodes, as SentencePiece does."""
    words = ["▁the", "▁cat", "s", "▁"]
    made = Tokenizer(models.BPE(vocab={word: at for at, word in enumerate(words)}, merges=[]))
    made.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=made)


def test_a_character_of_several_tokens_stands_at_the_one_that_completes_it() -> None:
    tokenizer = byte_level()
    pieces = token_pieces(tokenizer, tokenizer.encode("aé😀b"))
    assert pieces == ["a", "", "é", "", "", "", "😀", "b"]


def test_blanks_between_words_are_kept_where_a_single_token_would_lose_them() -> None:
    assert token_pieces(with_blanks_before_words(), [0, 1, 2, 1]) == ["the", " cat", "s", " cat"]


def test_bytes_that_are_no_text_are_shown_as_torn_and_end() -> None:
    tokenizer = byte_level()
    broken = tokenizer.convert_tokens_to_ids("Ã")  # the first byte of é alone
    pieces = token_pieces(tokenizer, [broken] * 12)
    assert len(pieces) == 12
    assert set("".join(pieces)) == {"\ufffd"}
    assert token_pieces(tokenizer, []) == []
