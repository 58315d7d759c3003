"""The two texts of a benchmark that fits on one and measures on the other."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from torch import Tensor

from qcore.calibration.text import windows


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser that asks for the texts and how much of each."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--text", default="lambada/calibration", help="calibration text, or file:…")
    parser.add_argument("--held-out", default="lambada/evaluation", help="another text, or file:…")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--length", type=int, default=512)
    return parser


def read(given: argparse.Namespace, tokenizer: Any) -> tuple[Tensor, Tensor]:
    """Windows of both, `[windows, length]`."""
    texts = given.text, given.held_out
    fitted, other = (windows(tokenizer, text, given.windows, given.length) for text in texts)
    return fitted, other


def asked(given: argparse.Namespace) -> dict[str, Any]:
    """What a result says of its texts: no folder of this machine."""
    return {
        "text": _without_folder(given.text),
        "held out text": _without_folder(given.held_out),
        "windows": given.windows,
        "length": given.length,
    }


def _without_folder(text: str) -> str:
    kind, colon, path = text.partition(":")
    return f"file:{Path(path).name}" if colon else kind
