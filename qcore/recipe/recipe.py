"""A Recipe says everything that decides a result, and nothing else.

It is frozen, it is validated when it is made, it has one canonical JSON text, and the digest of
that text is its name: equal recipes have equal digests on every machine. A part that is absent
(`None`) is left out of the text, so a recipe written before a part existed keeps its digest.

A *sweep* is the same JSON with a list where a recipe has a value (`qcore.sweep`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cache.digest import canonical_json, digest
from qcore.formats.format import FORMATS
from qcore.plain import from_plain, parse_json, to_plain
from qcore.recipe.checks import check
from qcore.recipe.parts import (
    Activations,
    Calibration,
    Evaluation,
    Expansion,
    ModelRef,
    Permutation,
    Rotation,
    Rounding,
    Scales,
    Weights,
)
from qcore.recipe.precision import Precision
from qcore.titles import title_of

SCHEMA = 1
"""Raised when the meaning of a recipe's JSON changes; it is part of every digest."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One configuration, whole. `weights = None` is the float network: the reference point.

    `calibration = None` skips the capture; only RTN can do without one, and the report then has
    no layer output errors.
    """

    model: ModelRef = field(default_factory=ModelRef)
    weights: Weights | None = field(default_factory=Weights)
    activations: Activations | None = None
    rotation: Rotation | None = None
    permutation: Permutation | None = None
    expansion: Expansion | None = None
    precision: Precision | None = None
    scales: Scales = field(default_factory=Scales)
    rounding: Rounding = field(default_factory=Rounding)
    calibration: Calibration | None = field(default_factory=Calibration)
    evaluation: Evaluation = field(default_factory=Evaluation)
    seed: int = 0

    def __post_init__(self):
        check(self)

    @property
    def digest(self) -> str:
        """SHA-256 of the schema and the canonical JSON: the recipe's name."""
        return digest({"schema": SCHEMA, "recipe": self.to_dict()})

    @property
    def title(self) -> str:
        """A short line for people: `INT4 g64 · A8 asym · GPTQ · MSE`."""
        return title_of(self)

    @property
    def has_float_scales(self) -> bool:
        """Whether weights may be of an INT format, whose scales are floats of a chosen type."""
        if self.weights is None:
            return False
        names = self.precision.formats if self.precision else [self.weights.format]
        return any(FORMATS[name].kind == "int" for name in names)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a part that is absent by default is left out."""
        return to_plain(self)

    def to_json(self) -> str:
        """The canonical JSON text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, data: Any) -> Recipe:
        """A recipe from plain values; what is left out takes its default.

        Raises:
            InvalidRecipe: an unknown field, a value of the wrong type or range, or parts that do
                not go together.
        """
        return from_plain(cls, data, "recipe")

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """A recipe from JSON text. Raises InvalidRecipe as `from_dict`, and for broken JSON."""
        return cls.from_dict(parse_json(text))
