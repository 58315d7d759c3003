"""Whether a recipe fits a network: known from the network's sizes, before anything is loaded.

Nothing here needs torch: New run asks while the form is filled in, a run asks before it captures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from qcore.errors import InvalidRecipe
from qcore.models.families import FAMILIES, require_rotatable
from qcore.models.family import BLOCK_SITES
from qcore.models.regions import Dimensions
from qcore.models.source import ModelSource
from qcore.pipeline.planning.sizes import Sizes
from qcore.precision.budget import require_solvable
from qcore.precision.layers import LayerSize
from qcore.recipe import Recipe
from qcore.recipe.formats import formats_of
from qcore.transforms.expansion import ExpandableSite, Expansion, solve

BLOCKS = tuple(1 << k for k in range(1, 14))
"""Blocks of online rotations that are offered."""

GROUPS = (16, 32, 64, 128, 256, 512)
"""Groups of INT formats that are offered."""


def require_fits(recipe: Recipe, sizes: Sizes) -> None:
    """Refuse what the network's sizes do not allow.

    Raises:
        InvalidRecipe: a rotation's block, or a format's group or block, does not divide the width
            of a layer's input; an expansion that no size can give; pins that fit no layer or a
            budget that they leave no room for.
    """
    _require_block(recipe, sizes)
    _require_groups(recipe, widths_of(recipe, sizes))
    if recipe.precision is not None and recipe.weights is not None:
        layers = planned_sizes(sizes, grown_widths(recipe, sizes))
        require_solvable(layers, recipe.precision, group=recipe.weights.group)


def require_place(recipe: Recipe, source: ModelSource) -> None:
    """Refuse what the network's architecture has no place for.

    Raises:
        UnsupportedModel: R1 where norms stand between branches and the residual stream.
    """
    named = (family for family in FAMILIES.values() if family.name == source.family)
    family = next(named, None)
    if family is not None and recipe.rotation is not None and recipe.rotation.r1:
        require_rotatable(family)


def expansion_of(recipe: Recipe, size: Dimensions, parameters: int) -> Expansion | None:
    """The sizes that come closest to the percentage asked for; None where nothing grows.

    Args:
        recipe: its rotation says which inputs may grow.
        size: of the untouched network.
        parameters: of the untouched network, tied ones once.

    Raises:
        InvalidRecipe: a percentage out of range.
    """
    rotation = recipe.rotation
    if recipe.expansion is None or rotation is None:
        return None
    sites = [
        ExpandableSite(name, width, size.hidden, size.blocks)
        for name, width in online_widths(recipe, size).items()
    ]
    return solve(sites, parameters, recipe.expansion.percent, block=rotation.block or 1)


def widths_of(recipe: Recipe, sizes: Sizes) -> set[int]:
    """Widths of the linears' inputs once the recipe's expansion is in place.

    Raises:
        InvalidRecipe: a percentage out of range.
    """
    size, grown = sizes.size, grown_widths(recipe, sizes)
    down, output = grown.get("down_proj", size.intermediate), grown.get("o_proj", size.attention)
    return {size.hidden, output, down}


def grown_widths(recipe: Recipe, sizes: Sizes) -> dict[str, int]:
    """Projection → width of its input, where the recipe's expansion changes it.

    Raises:
        InvalidRecipe: a percentage out of range.
    """
    grown = expansion_of(recipe, sizes.size, sizes.parameters)
    return {} if grown is None else dict(grown.sizes)


def online_widths(recipe: Recipe, size: Dimensions) -> dict[str, int]:
    """Widths of the inputs that are rotated at run time, before expansion, by projection."""
    rotation = recipe.rotation
    found = {}
    if rotation is not None and rotation.r4:
        found["down_proj"] = size.intermediate
    if rotation is not None and rotation.o_proj:
        found["o_proj"] = size.attention
    return found


def planned_sizes(sizes: Sizes, widths: Mapping[str, int]) -> tuple[LayerSize, ...]:
    """Every linear of the network in execution order, from its sizes alone.

    Args:
        sizes: of the untouched network.
        widths: projection → width of its input, where expansion changed it.
    """
    size = sizes.size
    values = size.kv_heads * size.head_dim
    shapes = {
        "q_proj": (size.hidden, size.attention),
        "k_proj": (size.hidden, values),
        "v_proj": (size.hidden, values),
        "o_proj": (size.attention, size.hidden),
        "gate_proj": (size.hidden, size.intermediate),
        "up_proj": (size.hidden, size.intermediate),
        "down_proj": (size.intermediate, size.hidden),
    }
    found = []
    for block in range(size.blocks):
        for path in (path for site in BLOCK_SITES for path in site.linears):
            projection = path.rsplit(".", 1)[1]
            inputs, outputs = shapes[projection]
            inputs = widths.get(projection, inputs)
            found.append(LayerSize(f"{block}.{path}", block, projection, inputs, outputs))
    return tuple(found)


def _require_block(recipe: Recipe, sizes: Sizes) -> None:
    """The block of the online rotations, against the inputs that do not grow.

    Those that grow take a size that the block divides.
    """
    rotation = recipe.rotation
    if rotation is None or rotation.block is None:
        return
    block = rotation.block
    if recipe.expansion is not None and rotation.online and block & (block - 1):
        fact = f"block {block} is no power of two, and expanded sizes are v·2^k"
    else:
        misfit = _misfit(recipe, sizes)
        if misfit is None:
            return
        fact = f"block {block} does not divide {misfit[1]}, the width of {misfit[0]}'s input"
    offered = [
        size
        for size in BLOCKS
        if _misfit(replace(recipe, rotation=replace(rotation, block=size)), sizes) is None
    ]
    offered = [size for size in offered if size >= 16] or offered
    choices = f"choose {_or(offered)}, or " if offered else ""
    raise InvalidRecipe(fact, remedy=f"{choices}leave the block out for a full rotation")


def _misfit(recipe: Recipe, sizes: Sizes) -> tuple[str, int] | None:
    """The first online rotation, and its width, that the recipe's block does not divide."""
    block = recipe.rotation.block if recipe.rotation is not None else None
    widths = online_widths(recipe, sizes.size)
    grown = expansion_of(recipe, sizes.size, sizes.parameters)
    solved = widths if grown is None else {name: grown.sizes[name] for name in widths}
    return next(((name, width) for name, width in solved.items() if width % (block or 1)), None)


def _require_groups(recipe: Recipe, widths: Iterable[int]) -> None:
    """Formats, against the widths of all layers' inputs: what is advised fits every one of them."""
    widths = sorted(widths)
    for what, fmt in formats_of(recipe):
        narrow = next((width for width in widths if fmt.group and width % fmt.group), None)
        if narrow is None:
            continue
        every = f"the layers' inputs are {_and(widths)} wide"
        if fmt.kind == "mx":
            raise InvalidRecipe(
                f"{what}: block {fmt.group} of {fmt.name} does not divide {narrow} ({every})",
                remedy="choose an INT format, whose group may be left out",
            )
        offered = [size for size in GROUPS if not any(width % size for width in widths)]
        raise InvalidRecipe(
            f"{what}: group {fmt.group} of {fmt.name} does not divide {narrow} ({every})",
            remedy=f"choose {_or(offered)}, or leave the group out"
            if offered
            else "leave the group out",
        )


def _or(numbers: Iterable[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} or {last}" if most else last


def _and(numbers: Iterable[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last
