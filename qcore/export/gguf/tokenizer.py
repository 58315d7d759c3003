"""A tokenizer in GGUF's keys: byte-level BPE, whose words are cut by one of four known rules.

llama.cpp cuts a text into pieces with regular expressions of its own and knows them by name
(`tokenizer.ggml.pre`), so a tokenizer can be written when its cutting is one that llama.cpp has.
Any other is refused: a text that is cut otherwise is other tokens, without a word said.

Names and rules: `llama-vocab.cpp` of llama.cpp.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType

from qcore.errors import ExportError

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_SPLITS = {_LLAMA3: "llama-bpe", _QWEN2: "qwen2"}


def add_tokenizer(writer: GGUFWriter, folder: Path, tokenizer: Any, vocabulary: int) -> None:
    """Add tokens, merges, special tokens and the chat template.

    Args:
        writer: nothing written yet.
        folder: holds `tokenizer.json` and what belongs to it.
        tokenizer: the same, loaded by transformers.
        vocabulary: rows of the embedding; those without a token get a name that no text has.

    Raises:
        ExportError: no byte-level BPE, or one that llama.cpp cuts otherwise.
    """
    data = _read(folder)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cutting_of(data))
    tokens = {number: word for word, number in data["model"]["vocab"].items()}
    kinds = dict.fromkeys(tokens, TokenType.NORMAL)
    for added in data["added_tokens"]:
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    if max(tokens) >= vocabulary:
        raise ExportError(
            f"the tokenizer has {max(tokens) + 1} tokens and the network {vocabulary}",
            remedy="repair the checkpoint: they belong to different networks",
        )
    names = [tokens.get(number, f"[PAD{number}]") for number in range(vocabulary)]
    writer.add_token_list(names)
    writer.add_token_types([kinds.get(number, TokenType.UNUSED) for number in range(vocabulary)])
    merges = data["model"]["merges"]
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    )
    _add_special(
        writer, folder, tokenizer.encode("a"), {word: number for number, word in tokens.items()}
    )


def cutting_of(data: dict[str, Any]) -> str:
    """What llama.cpp calls the rule that cuts texts: `gpt-2`, `smollm`, `llama-bpe`, `qwen2`.

    Args:
        data: a parsed `tokenizer.json`.

    Raises:
        ExportError: another rule, or no byte-level BPE.
    """
    model = data["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise ExportError(
            "the tokenizer is no byte-level BPE, the only kind that is written as GGUF here",
            remedy="export to compressed-tensors",
        )
    steps = data.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    normal = (data.get("normalizer") or {}).get("type")
    kinds = [step.get("type") for step in steps]
    last = steps[-1]
    if kinds[-1] == "ByteLevel" and not last.get("add_prefix_space"):
        if kinds == ["ByteLevel"] and last.get("use_regex", True) and normal is None:
            return "gpt-2"
        digits = kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits")
        if digits and last.get("use_regex", True) and normal is None:
            return "smollm"
        if kinds == ["Split", "ByteLevel"] and not last.get("use_regex", True):
            pattern = steps[0].get("pattern", {}).get("Regex", "")
            known = _SPLITS.get(pattern)
            if known and normal in (None, "NFC"):
                return known
    raise ExportError(
        "the tokenizer cuts texts by a rule that none of llama.cpp's known ones equals",
        remedy="export to compressed-tensors",
    )


def _add_special(writer: GGUFWriter, folder: Path, ids: list[int], numbers: dict[str, int]) -> None:
    settings = _settings(folder)
    adders = {
        "bos_token": writer.add_bos_token_id,
        "eos_token": writer.add_eos_token_id,
        "unk_token": writer.add_unk_token_id,
        "pad_token": writer.add_pad_token_id,
    }
    found = {}
    for name, add in adders.items():
        word = settings.get(name)
        word = word.get("content") if isinstance(word, dict) else word
        if word in numbers:
            found[name] = numbers[word]
            add(numbers[word])
    writer.add_add_bos_token(len(ids) > 1 and ids[0] == found.get("bos_token"))
    writer.add_add_eos_token(len(ids) > 1 and ids[-1] == found.get("eos_token"))
    writer.add_add_space_prefix(False)
    template = folder / "chat_template.jinja"
    text = settings.get("chat_template")
    if template.is_file():
        text = template.read_text(encoding="utf-8")
    if isinstance(text, str):
        writer.add_chat_template(text)


def _read(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(
            "the checkpoint has no readable tokenizer.json, which GGUF's tokenizer is made from",
            remedy="save the tokenizer with transformers, or export to compressed-tensors",
        ) from error


def _settings(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


TEXTS = (
    "Hello world, it's 2026; 12345 items cost $3.50 each.",
    "  two spaces\n\nnew\tlines\r\n  'LL we'll they'VE",
    "Größe, naïve café, 東京 漢字, مرحبا, 😀👍🏽",
    "def f(x):\n    return x**2  # ok!!!   ",
)
"""Texts in which the known rules differ: llama.cpp must cut them as we do."""


def token_samples(tokenizer: Any) -> list[dict[str, Any]]:
    """`TEXTS` and their tokens by the network's own tokenizer, special ones included."""
    return [{"text": text, "ids": tokenizer.encode(text)} for text in TEXTS]
