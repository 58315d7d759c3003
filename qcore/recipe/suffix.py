"""The part of a recipe whose network predicts suffixes: the log, the network, its training.

A language model is found trained; this one is trained by the run itself, so everything that decides
its weights is said here. What is asked of weights, inputs, scales, rounding and bits is said where
every recipe says it. The recipe's model names the log (`source` "suffix"), its calibration and
evaluation name the log's parts: `windows` are cases, `length` is the longest prefix of a case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qcore.serialization import require, require_name

FOLDS = 5
"""Test folds into which `split` "cases" divides a log."""

TRAINING_CASES, TEST_CASES = "log/train", "log/test"
"""The texts, so to speak, of a suffix recipe."""


@dataclass(frozen=True, slots=True)
class SuffixPart:
    """The network that predicts suffixes, and its training (arXiv 2211.16106).

    Attributes:
        cell: of the recurrent layers.
        hidden: width of a layer's state.
        embedding: width of both embeddings; even.
        layers: recurrent layers on each side.
        dropout: share of embeddings and states that training drops.
        epochs: at most.
        patience: epochs without a better validation loss before training stops.
        rows: prefixes of a batch, about.
        rate: AdamW's learning rate at the start.
        split: `cases` (five folds by chance), `time` (late cases test) or `file` (a fold file).
        fold: the fold that tests; of no meaning to `time`.
        folds: path of the fold file (`case, test_fold, val_folds`).
        columns: the CSV's columns of case, activity and time; guessed from their names if empty.
        cases: of the built-in process, where no log is named.
        answer: `argmax` (the likeliest step, again and again), `beam` (the likeliest suffix,
            normalised by length) or `expected` (the least expected distance to samples).
    """

    cell: Literal["gru", "lstm"] = "gru"
    hidden: int = 48
    embedding: int = 32
    layers: int = 2
    dropout: float = 0.1
    epochs: int = 40
    patience: int = 6
    rows: int = 128
    rate: float = 5e-3
    split: Literal["cases", "time", "file"] = "cases"
    fold: int = 0
    folds: str = ""
    columns: tuple[str, ...] = ()
    cases: int = 1000
    answer: Literal["argmax", "beam", "expected"] = "argmax"

    def __post_init__(self):
        for name, least, most in _RANGES:
            value = getattr(self, name)
            require(least <= value <= most, f"{name} is {value}", f"choose {least:,} to {most:,}")
        require(
            self.embedding % 2 == 0,
            f"embedding {self.embedding} is odd, and positions need pairs",
            f"choose {self.embedding + 1}",
        )
        require(0 <= self.dropout < 1, f"dropout is {self.dropout:g}", "choose 0 to below 1")
        require(0 < self.rate <= 1, f"rate is {self.rate:g}", "choose more than 0, at most 1")
        require(
            len(self.columns) in (0, 3),
            f"{len(self.columns)} columns are named",
            "name three: case, activity and time; or none, and they are guessed",
        )
        for name in (*self.columns, self.folds):
            require_name(name, "column" if name != self.folds else "fold file")
        require(
            (self.split == "file") == bool(self.folds),
            'a fold file belongs to the split "file"',
            'name the file in folds and set split to "file", or leave both out',
        )
        require(
            self.split != "cases" or self.fold < FOLDS,
            f"fold {self.fold} is none of {FOLDS}",
            f"choose 0 to {FOLDS - 1}",
        )


_RANGES = (
    ("hidden", 1, 1024),
    ("embedding", 2, 1024),
    ("layers", 1, 8),
    ("epochs", 1, 10_000),
    ("patience", 1, 10_000),
    ("rows", 1, 100_000),
    ("fold", 0, 1000),
    ("cases", 10, 1_000_000),
)
