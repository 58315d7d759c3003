"""Whether a folder's tokenizer is one that can be loaded here, known from its files alone.

A tokenizer is a tokenizer.json; or a tokenizer.model, which is a SentencePiece model (read with the
package sentencepiece, which Quantscope installs) or a list of byte sequences for tiktoken (which
it does not: such models are published with a tokenizer.json too); or a vocab.json with merges.txt.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from qcore.errors import BrokenCheckpoint, ModelError
from qcore.models.files import LARGEST_TOKENIZER, printable, read_json, read_regular

TOKENIZER_CONFIG = "tokenizer_config.json"

_FIRST_FIELD = b"\x0a"
"""How a SentencePiece model begins: field 1 of a protocol buffer, the pieces."""


_PATHS = (
    "fast_tokenizer_files",
    "tokenizer_file",
    "vocab_file",
    "merges_file",
    "added_tokens_file",
    "special_tokens_map_file",
    "name_or_path",
)
"""Settings that name files: which are read is for the examination to say."""


def check_tokenizer(folder: Path, names: Set[str]) -> None:
    """Refuse a folder whose tokenizer cannot be loaded.

    Args:
        folder: of the checkpoint.
        names: of the tokenizer files in it.

    Raises:
        BrokenCheckpoint: it has none, half of one, or one of a format that is not read.
        ModelError: the package that reads it is not installed.
    """
    remedy = "add tokenizer.json from where the model came"
    if "tokenizer.json" in names:
        return
    where = printable(str(folder))
    if "tokenizer.model" in names:
        path = folder / "tokenizer.model"
        if not read_regular(path, LARGEST_TOKENIZER, remedy=remedy).startswith(_FIRST_FIELD):
            raise BrokenCheckpoint(
                f"tokenizer.model in {where} is no SentencePiece model", remedy=remedy
            )
        if importlib.util.find_spec("sentencepiece") is None:
            raise ModelError(
                f"{where} has tokenizer.model only, and the package sentencepiece that reads it is "
                "not installed",
                remedy="run `make run`, which installs it, or add tokenizer.json",
            )
    elif "vocab.json" in names:
        if "merges.txt" not in names:
            raise BrokenCheckpoint(f"{where} has vocab.json and no merges.txt", remedy=remedy)
    else:
        raise BrokenCheckpoint(f"{where} has no tokenizer", remedy=remedy)


def tokenizer_settings(config: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """The settings for a loader: the folder's own, without names of files.

    Where nothing says which class of tokenizer a SentencePiece model belongs to, the loader's
    choice leaves out the space that most such models put in front of a text, and gives other
    tokens than SentencePiece does; the Llama class keeps it.

    Args:
        config: the parsed config.json.
        files: of the tokenizer, by name.

    Raises:
        BrokenCheckpoint: tokenizer_config.json cannot be read.
    """
    stated = read_json(files[TOKENIZER_CONFIG]) if TOKENIZER_CONFIG in files else {}
    settings = {key: value for key, value in stated.items() if key not in _PATHS}
    pieces = "tokenizer.model" in files and "tokenizer.json" not in files
    named = "tokenizer_class" in settings or config.get("tokenizer_class")
    if pieces and not named and _begins_with_a_space(files["tokenizer.model"]):
        settings["tokenizer_class"] = "LlamaTokenizer"
    return settings


def _begins_with_a_space(model: Path) -> bool:
    from sentencepiece import SentencePieceProcessor

    found = SentencePieceProcessor(model_file=str(model)).encode("a", out_type=str)
    return bool(found) and found[0].startswith("\u2581")
