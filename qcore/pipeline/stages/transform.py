"""The transform stage: a recipe's rotation, permutation and expansion as a plan for its network.

Sizes follow from the network's dimensions alone, so they can be told before anything runs; the
permutations need what the capture saw. Weights are not stored: transforming takes seconds, and the
captured moments are carried along algebraically (H' = TᵀHT), never captured again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from cache.store import Cache
from qcore.calibration.statistics import BlockStatistics
from qcore.models.families import Linear, linear_module
from qcore.models.families import Site as InputSite
from qcore.models.loading import Network
from qcore.models.plan import BlockPlan, Plan
from qcore.models.regions import Dimensions
from qcore.models.transformation import Transformed, transform
from qcore.pipeline.keys import Keys
from qcore.pipeline.planning.validation import expansion_of
from qcore.pipeline.session import Session
from qcore.pipeline.stages.capture import Calibrator
from qcore.progress import Progress, silent
from qcore.recipe import Recipe
from qcore.serialization import from_plain, to_plain
from qcore.transforms.algebra import Transform, head_transforms, site_transform
from qcore.transforms.expansion import Expansion
from qcore.transforms.hadamard import Rotation, full_rotation
from qcore.transforms.permutation import permute_heads

Statistics = Callable[[int], BlockStatistics]
"""A decoder block's captured statistics."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transform did, without its tensors.

    Attributes:
        notes: sentences for the report.
        added: parameters that expansion added.
    """

    notes: tuple[str, ...] = ()
    added: int = 0


class Transformer:
    """Lends out the float network with its transforms in place; as a context manager, for a while.

    A recipe without a rotation gets the network as it is.
    """

    def __init__(self, keys: Keys, cache: Cache, session: Session, calibrator: Calibrator):
        self._keys = keys
        self._cache = cache
        self._session = session
        self._calibrator = calibrator
        self._transformed: Transformed | None = None

    def __enter__(self) -> Transformer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._transformed is not None:
            self._transformed.restore()
            self._transformed = None

    def outcome(self, progress: Progress) -> tuple[Outcome, bool]:
        """What the transform does, and whether the cache knew."""
        key = self._keys.transform
        kept = self._cache.record(key)
        if kept is not None:
            return from_plain(Outcome, kept, "transform"), True
        self.network(progress)
        plan, expansion = self._plan()
        added = 0 if expansion is None else expansion.added
        outcome = Outcome(tuple(_notes(plan, expansion)), added)
        self._cache.put_record(key, to_plain(outcome))
        return outcome, False

    def network(self, progress: Progress = silent) -> Network:
        """The transformed float network."""
        if self._keys.recipe.rotation is not None and self._transformed is None:
            plan, _ = self._plan()  # may capture, which needs the untouched network
            model = self._session.network(self._keys, progress).model
            self._transformed = transform(model, plan)
        return self._session.network(self._keys, progress)

    def weight(self, linear: Linear) -> Tensor:
        """The float weight that is to be quantized, float32 or wider."""
        model = self.network().model
        if self._transformed is None:
            return linear_module(model, linear).weight.data.float()
        return self._transformed.weight(linear)

    def moment(self, site: InputSite, moment: Tensor) -> Tensor:
        """H of the transformed network's inputs from H of the untouched one's."""
        self.network()
        return moment if self._transformed is None else self._transformed.moment(site, moment)

    @functools.cache  # noqa: B019 -- one Transformer lives as long as one run
    def _plan(self) -> tuple[Plan, Expansion | None]:
        sizes = self._session.sizes(self._keys, self._cache)
        recipe = self._keys.recipe
        expansion = expansion_of(recipe, sizes.size, sizes.parameters)
        return plan_of(recipe, sizes.size, expansion, self._calibrator.block), expansion


def plan_of(
    recipe: Recipe, size: Dimensions, expansion: Expansion | None, statistics: Statistics
) -> Plan:
    """The plan that carries out a recipe's transforms.

    Args:
        recipe: with a rotation.
        size: of the untouched network.
        expansion: of `expansion_of`.
        statistics: of any block; asked only for permutations that look at them.

    Raises:
        InvalidRecipe: a block that does not divide, or another size that does not fit.
    """
    rotation = recipe.rotation
    assert rotation is not None
    sign_seed = recipe.seed if rotation.signs else None
    widths = {} if expansion is None else expansion.sizes
    residual = heads = None
    if rotation.r1:
        residual = Transform(
            size.hidden, None, full_rotation(size.hidden, seed=sign_seed, fused=True)
        )
    if rotation.r2:
        heads = full_rotation(size.head_dim, seed=sign_seed, fused=True)
    blocks = []
    for block in range(size.blocks):
        values = _values(recipe, size, heads, statistics, block)
        attention = None
        if rotation.o_proj:
            attention = site_transform(
                size.attention,
                block=rotation.block,
                size=widths.get("o_proj"),
                sign_seed=sign_seed,
            )
        hidden = None
        if rotation.r4:
            hidden = _mlp_hidden(recipe, size, widths.get("down_proj"), statistics, block)
        blocks.append(BlockPlan(values, attention, hidden))
    return Plan(residual, tuple(blocks))


def _mlp_hidden(
    recipe: Recipe, size: Dimensions, width: int | None, statistics: Statistics, block: int
) -> Transform:
    """Permutation and R4 at down_proj's input."""
    assert recipe.rotation is not None
    method = "identity" if recipe.permutation is None else recipe.permutation.method
    mean = absmax = None
    if method != "identity":
        seen = statistics(block).sites["mlp_hidden"]
        mean, absmax = seen.mean_abs, seen.max_abs
    return site_transform(
        size.intermediate,
        block=recipe.rotation.block,
        size=width,
        method=method,
        mean=mean,
        absmax=absmax,
        order_seed=recipe.seed + block,
        sign_seed=recipe.seed if recipe.rotation.signs else None,
    )


def _values(
    recipe: Recipe, size: Dimensions, rotation: Rotation | None, statistics: Statistics, block: int
) -> tuple[Transform, ...]:
    """The fused transforms of a block's value heads: a permutation, R2, or none."""
    part = recipe.permutation
    if part is None or not part.values or part.method == "identity":
        return () if rotation is None else head_transforms(size.head_dim, size.kv_heads, rotation)
    assert recipe.rotation is not None
    assert recipe.rotation.block is not None
    seen = statistics(block).sites["attention_output"]
    order = permute_heads(
        part.method,
        seen.mean_abs,
        recipe.rotation.block,
        heads=size.heads,
        kv_heads=size.kv_heads,
        absmax=seen.max_abs,
        seed=recipe.seed + block,
    )
    return head_transforms(size.head_dim, size.kv_heads, None, order)


def _notes(plan: Plan, expansion: Expansion | None) -> list[str]:
    """Fallbacks of the rotations, said once each, and what the expansion reached."""
    notes = []
    if expansion is not None:
        grown = ", ".join(f"{name} to {size} inputs" for name, size in expansion.sizes.items())
        notes.append(
            f"expansion: {expansion.asked:g} % was asked for, {expansion.percent:.2f} % of the "
            f"parameters was reached with {grown}"
        )
    maps = [plan.residual]
    for block in plan.blocks:
        maps += [*block.values, block.attention_output, block.mlp_hidden]
    for item in maps:
        note = item.rotation.note if isinstance(item, Transform) and item.rotation else ""
        if note and note not in notes:
            notes.append(note)
    return notes
