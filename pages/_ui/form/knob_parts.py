"""Between a recipe's parts and the lists of values that the form's knobs hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from qcore.formats.format import FORMATS
from qcore.recipe import PermutationPart, Recipe, RotationPart

if TYPE_CHECKING:
    from pages._ui.form.knobs import Knobs

NONE = "none"
"""The choice that leaves a part out: float weights, float activations, no calibration."""

PER_CHANNEL = 0
"""The group that is no group: one scale per output channel, or per token."""

FULL = 0
"""The rotation block that is no block: all features at once."""

ROTATED = "rotated"
"""The choice beside NONE that has a rotation."""

ROTATION_KNOBS = (
    *("r1s", "r2s", "r4s", "o_projs", "blocks", "signs"),
    *("permutations", "permuted_values", "expansions"),
)
"""What only a rotation asks."""


def distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """Each value once, in the order in which they come."""
    return tuple(dict.fromkeys(values))


def one_or_many(values: Sequence[Any]) -> Any:
    """A single value stands for itself: a sweep of one is a plain recipe."""
    return values[0] if len(values) == 1 else list(values)


def mx(names: Iterable[str]) -> list[str]:
    """Those that are MX formats."""
    return [name for name in names if name in FORMATS and FORMATS[name].kind == "mx"]


def looks_at_inputs(recipe: Recipe) -> bool:
    """Whether the recipe's scales or its rounding look at layer inputs."""
    scales = recipe.scales
    return recipe.rounding.method != "rtn" or (
        scales.method == "piso" and scales.objective != "identity"
    )


def transform_values(recipes: Sequence[Recipe]) -> dict[str, tuple[Any, ...]]:
    """The transforms' knobs; where none of the recipes rotates, a rotation's defaults."""
    rotated = [recipe for recipe in recipes if recipe.rotation] or [Recipe(rotation=RotationPart())]
    rotations = [recipe.rotation for recipe in rotated if recipe.rotation]
    permuted = [r.permutation for r in rotated if r.permutation]
    return {
        "rotations": distinct(ROTATED if recipe.rotation else NONE for recipe in recipes),
        "r1s": distinct(rotation.r1 for rotation in rotations),
        "r2s": distinct(rotation.r2 for rotation in rotations),
        "r4s": distinct(rotation.r4 for rotation in rotations),
        "o_projs": distinct(rotation.o_proj for rotation in rotations),
        "blocks": distinct(rotation.block or FULL for rotation in rotations),
        "signs": distinct(rotation.signs for rotation in rotations),
        "permutations": distinct(r.permutation.method if r.permutation else NONE for r in rotated),
        "permuted_values": distinct(p.values for p in permuted) or (PermutationPart().values,),
        "expansions": distinct(r.expansion.percent if r.expansion else 0.0 for r in rotated),
    }


def transform_parts(knobs: Knobs) -> list[dict[str, Any]]:
    """What becomes of the network before it is quantized: nothing, or a rotation's parts."""
    transforms: list[dict[str, Any]] = [{}] if NONE in knobs.rotations else []
    if ROTATED in knobs.rotations:
        rotation = {
            "r1": one_or_many(knobs.r1s),
            "r2": one_or_many(knobs.r2s),
            "r4": one_or_many(knobs.r4s),
            "o_proj": one_or_many(knobs.o_projs),
            "block": one_or_many([block or None for block in knobs.blocks]),
            "signs": one_or_many(knobs.signs),
        }
        transforms.append({"rotation": rotation, **_permutation(knobs), **_expansion(knobs)})
    return transforms


def _permutation(knobs: Knobs) -> dict[str, Any]:
    methods = [method for method in knobs.permutations if method != NONE]
    parts: list[Any] = [None] if NONE in knobs.permutations else []
    if methods:
        values = one_or_many(knobs.permuted_values)
        parts.append({"method": one_or_many(methods), "values": values})
    return {"permutation": one_or_many(parts)} if methods else {}


def _expansion(knobs: Knobs) -> dict[str, Any]:
    percents = [percent for percent in knobs.expansions if percent]
    parts: list[Any] = [None] if 0 in knobs.expansions else []
    if percents:
        parts.append({"percent": one_or_many(percents)})
    return {"expansion": one_or_many(parts)} if percents else {}


def groups(parts: Sequence[Any]) -> tuple[int, ...]:
    """The groups that INT weights or activations use; per channel where none is INT."""
    integers = [part.group or PER_CHANNEL for part in parts if not mx([part.format])]
    return distinct(integers) or (PER_CHANNEL,)


def exponents(parts: Sequence[Any]) -> tuple[str, ...]:
    """The exponent rules that MX weights or activations use."""
    return distinct(part.scale_rounding for part in parts if mx([part.format])) or ("floor",)


def parts_by_sort(names: Sequence[str], sizes: Sequence[int], rules: Sequence[str]) -> list[Any]:
    """Weights or activations by sort: none, INT with its groups, MX with its exponent rules."""
    shared = mx(names)
    integers = [name for name in names if name != NONE and name not in shared]
    parts: list[Any] = [None] if NONE in names else []
    if integers:
        scale_groups = one_or_many([group or None for group in sizes])
        parts.append({"format": one_or_many(integers), "group": scale_groups})
    if shared:
        parts.append({"format": one_or_many(shared), "scale_rounding": one_or_many(rules)})
    return parts
