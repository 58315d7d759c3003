"""What a row of a table of stages says, whatever the kind of network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qcore.pipeline.inputs import Resolved
from qcore.pipeline.planning import storage
from qcore.pipeline.planning.sizes import Sizes
from qcore.recipe import Recipe
from qcore.serialization import to_plain

Parts = Literal["whole", "block", "window"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the key of one stage can be made from.

    Attributes:
        recipe: what is run.
        inputs: the contents that it names.
        key: the key of another stage, by name.
        subject: which of its kind the stage is: the task of a `task`.
    """

    recipe: Recipe
    inputs: Resolved
    key: Callable[[str], str]
    subject: str = ""


def _constant(recipe: Recipe) -> int:
    return 1


def _nothing(recipe: Recipe) -> Sequence[tuple[str, str]]:
    return ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the table.

    Attributes:
        name: what it is called in Reports, events and keys.
        version: raised when it computes something else from the same.
        applies: whether a recipe has it.
        reads: everything that its outcome depends on; its key is the digest of that.
        parts: the cache entries it consists of: one, one per decoder block, or one per window.
        otherwise: the stage whose outcome stands in its place where a recipe does not have it,
            empty for none; a row without this has a key of its own there too.
        within: the stage in whose course it is computed; such a row is not announced by itself.
        each: the subjects for which a recipe has it once each.
        remade_from: what must be at hand even where its own entries are all cached: networks are
            never kept, and codes are read by the formats that were assigned.
        units: what its time grows with, tokens or questions; 0 where that is not known.
        comparable: what two recipes must agree on for their times in it to be compared.
        disk: bytes that it adds to an empty cache.
        aside: no part of a run, nor of a Report's id: computed where it is asked for by name.
        beside: what else makes it complete: (stage, part) of further entries, one per window. The
            parts' names carry versions of their own, which no Report's id depends on.
    """

    name: str
    version: int
    applies: Callable[[Recipe], bool]
    reads: Callable[[Asked], Sequence[object]]
    parts: Parts = "whole"
    otherwise: str | None = None
    within: str = ""
    each: Callable[[Recipe], Sequence[str]] | None = None
    remade_from: tuple[str, ...] = ()
    units: Callable[[Recipe], int] = _constant
    comparable: Callable[[Recipe], object] = _constant
    disk: Callable[[Recipe, Sizes], int] = storage.nothing
    beside: Callable[[Recipe], Sequence[tuple[str, str]]] = _nothing
    aside: bool = False

    def names(self, recipe: Recipe) -> list[str]:
        """What it is called in a run of this recipe; several where it has subjects."""
        if not self.applies(recipe):
            return []
        subjects = None if self.each is None else self.each(recipe)
        return [self.name] if subjects is None else [f"{self.name} {item}" for item in subjects]


def scale_knobs(recipe: Recipe) -> dict[str, Any]:
    """How scales are found; what holds them is nothing to MX formats."""
    knobs = to_plain(recipe.scales)
    if not recipe.has_float_scales:
        del knobs["storage"]
    return knobs


def activation_knobs(recipe: Recipe) -> object:
    """How inputs are rounded; None where they are not."""
    return to_plain(recipe.activations) if recipe.activations else None
