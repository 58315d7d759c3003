"""The text of each token, so that all pieces together are the text again.

A token cannot be decoded by itself: tokenizers drop the blank before a word at the start of what
they decode, and one character may be spread over several tokens. So a token's piece is what the
text gains by it: decode from a little before it with and without it, and take the difference. While
the text ends within a character the pieces are empty; the token that completes it has all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

_TORN = "\ufffd"
_LONGEST = 8
"""Tokens after which a character that is still torn is taken to be torn in the text itself."""


def token_pieces(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> list[str]:
    """What each token adds to the text; special tokens stand as they are written."""
    pieces: list[str] = []
    before, start = 0, 0  # tokens[before:start] are decoded to see what tokens[start:] add
    for end in range(1, len(tokens) + 1):
        known = _decoded(tokenizer, tokens[before:start])
        text = _decoded(tokenizer, tokens[before:end])
        torn = text.endswith(_TORN) and end - start < _LONGEST and end < len(tokens)
        pieces.append("" if torn else text[len(known) :])
        if not torn:
            before, start = start, end
    return pieces


def _decoded(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    text = tokenizer.decode(
        list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    assert isinstance(text, str)
    return text
