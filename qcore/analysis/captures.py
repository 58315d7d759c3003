"""What captures there are, and what they show: the way to them in the cache.

A finished Report names its capture stage by key, so nothing is resolved and no model is loaded:
the statistics of a network whose folder is gone can still be looked at. A capture may be partly
evicted; `Capture.blocks` says which decoder blocks are left.

The map of all layers and sites needs five numbers of every site. Reading a whole capture for them
takes about 30 ms per block of the demo model, so they are kept as one record per block.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cache.digest import digest
from cache.store import Outcomes
from qcore.analysis.transform_effect import (
    Density,
    Measures,
    RotationEffect,
    SampledTokens,
    compare,
    density,
    look,
    measure,
)
from qcore.calibration.sketch import BINS, bin_edges, bins_of
from qcore.calibration.statistics import BlockStatistics, SiteStatistics
from qcore.errors import CorruptEntry
from qcore.models.family import SITES
from qcore.pipeline.keys import block_key
from qcore.progress import Progress, silent
from qcore.recipe import Calibration, ModelRef, Recipe
from qcore.report.summary import Summary
from qcore.transforms.algebra import Transform, site_transform
from qcore.transforms.expansion import admissible_sizes
from qcore.transforms.hadamard import power_of_two_blocks
from qcore.transforms.permutation import Method

_OVERVIEW_VERSION = 1


@dataclass(frozen=True, slots=True)
class Capture:
    """One float capture in the cache.

    Attributes:
        key: of the capture stage.
        model: what the Report calls the network.
        dtype: what it computed in.
        calibration: the text that it read.
        depth: decoder blocks of the network.
        parameters: of the network, tied ones once.
        blocks: decoder blocks whose statistics are in the cache.
        source: where the network came from.
        model_digest: of its files when it was captured.
        recipe: of the newest run that named it; `ensure` makes it whole again.
    """

    key: str
    model: str
    dtype: str
    calibration: Calibration
    depth: int
    parameters: int
    blocks: tuple[int, ...]
    source: ModelRef
    model_digest: str
    recipe: Recipe

    @property
    def lost(self) -> int:
        """Decoder blocks whose statistics the cache has lost."""
        return self.depth - len(self.blocks)


@dataclass(frozen=True, slots=True)
class Lens:
    """The permutation and rotation through which an input is shown.

    Attributes:
        rotation: `none`, `full`, or features to a block of a Hadamard rotation.
        permutation: how channels are shared over the blocks; without effect elsewhere.
        size: features after expansion; None leaves the width.
        seed: of a random permutation.
    """

    rotation: Literal["none", "full"] | int = "none"
    permutation: Method = "identity"
    size: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One site's input through a lens, ready to be drawn.

    Attributes:
        width: channels of the input.
        order: features after the transform.
        block: features that one Hadamard matrix mixes; 0 without a rotation.
        rotation: the rotation's title, empty without one.
        note: why the rotation is not what was asked; empty where it is.
        tokens: tokens behind masses and the first curve.
        before: the sampled tokens as they are.
        kept: what the rotation makes of the channels in their own order; None without a rotation.
        permuted: and in the permutation's order; None where the lens permutes nothing.
        curves: `all` (before, every token), then of the sampled tokens `sample` (before, and after
            permuting, which changes no magnitude), `kept` and `permuted` (rotated).
    """

    width: int
    order: int
    block: int
    rotation: str
    note: str
    tokens: int
    before: SampledTokens
    kept: RotationEffect | None
    permuted: RotationEffect | None
    curves: dict[str, Density]


@dataclass(frozen=True, slots=True)
class Place:
    """One site of one decoder block on the map: its width and its measures."""

    block: int
    site: str
    width: int
    measures: Measures


def captures(runs: Iterable[Summary], cache: Outcomes) -> list[Capture]:
    """The distinct captures of these runs of which a block or more is in the cache, in order."""
    return [capture for capture in _named(runs, cache) if capture.blocks]


def evicted(runs: Iterable[Summary], cache: Outcomes) -> list[Capture]:
    """The distinct captures of these runs of which nothing is in the cache any more, in order."""
    return [capture for capture in _named(runs, cache) if not capture.blocks]


def _named(runs: Iterable[Summary], cache: Outcomes) -> list[Capture]:
    """Every capture that a run names, with the blocks that are left of it."""
    distinct: dict[str, tuple[Summary, Calibration]] = {}
    for run in runs:
        calibration = run.recipe.calibration
        if calibration is None or not run.depth or run.recipe.suffix is not None:
            continue
        for stage in run.stages:
            if stage.name == "capture" and stage.key:
                distinct.setdefault(stage.key, (run, calibration))
    found = []
    for key, (run, calibration) in distinct.items():
        left = tuple(b for b in range(run.depth) if cache.has(block_key(key, b)))
        found.append(_described(run, key, calibration, left))
    return found


def site_statistics(capture: Capture, cache: Outcomes, block: int, site: str) -> SiteStatistics:
    """Read one site's statistics from the cache.

    Raises:
        CorruptEntry: the cache has lost the block, or it has no such site.
    """
    found = _block(capture, cache, block)
    if site not in found.sites:
        raise CorruptEntry(
            f"block {block} has no site {site[:40]!r}",
            remedy=f"choose {', '.join(found.sites)}",
        )
    return found.sites[site]


def overview(capture: Capture, cache: Outcomes, progress: Progress = silent) -> list[Place]:
    """The measures of every site that is in the cache, in execution order.

    Blocks that were lost since `capture` was listed are left out.
    """
    places: list[Place] = []
    for done, block in enumerate(capture.blocks):
        progress(done, len(capture.blocks), f"block {block + 1} of {capture.depth}")
        key = measures_key(capture.key, block)
        record = cache.record(key)
        if record is None:
            try:
                statistics = _block(capture, cache, block)
            except CorruptEntry:
                continue
            record = {
                name: {"width": site.width, **asdict(_measured(site))}
                for name, site in statistics.sites.items()
            }
            cache.put_record(key, record)
        for name in sorted(record, key=SITES.index):
            values = dict(record[name])
            places.append(Place(block, name, values.pop("width"), Measures(**values)))
    return places


def measures_key(capture: str, block: int) -> str:
    """The key under which a block's measures are kept, given its capture's."""
    return digest(["outlier measures", _OVERVIEW_VERSION, block_key(capture, block)])


def view(statistics: SiteStatistics, lens: Lens) -> View:
    """A site through a lens: a few milliseconds, whatever the number of calibration tokens.

    The Hadamard matrix carries no random signs, so that what is shown depends on nothing else.

    Raises:
        InvalidRecipe: a block that does not divide, or a size below the width.
    """
    sample = statistics.sample
    curves = {
        "all": density(statistics.histogram, bin_edges()),
        "sample": _curve(sample),
    }
    kept = permuted = None
    straight = Transform(statistics.width)
    if lens.rotation != "none":
        straight = _transform(statistics, lens, "identity")
        kept = _outcome(statistics, straight)
        curves["kept"] = _curve(straight.apply(sample))
        changed = _transform(statistics, lens, lens.permutation)
        if changed.permutation is not None:
            permuted = _outcome(statistics, changed)
            curves["permuted"] = _curve(changed.apply(sample))
    rotation = straight.rotation
    return View(
        width=statistics.width,
        order=straight.transformed_width,
        block=rotation.block if rotation else 0,
        rotation=rotation.title if rotation else "",
        note=rotation.note if rotation else "",
        tokens=statistics.tokens,
        before=look(sample),
        kept=kept,
        permuted=permuted,
        curves=curves,
    )


def rotations(width: int) -> list[Literal["none", "full"] | int]:
    """Rotations to offer for an input of `width`: none, full, and blocks that divide it."""
    blocks = [block for block in power_of_two_blocks(width) if block < width]
    return ["none", "full", *([block for block in blocks if block >= 16] or blocks)]


def sizes(width: int, rotation: Literal["none", "full"] | int) -> list[int]:
    """Sizes to expand an input of `width` to, itself first, up to twice the width.

    Without a rotation there is nothing to expand for.
    """
    if rotation == "none":
        return [width]
    block = 1 if rotation == "full" else rotation
    larger = []
    for size in admissible_sizes(width, block=block):
        if size > 2 * width:
            break
        larger.append(size)
    return [width, *larger]


def _transform(statistics: SiteStatistics, lens: Lens, method: Method) -> Transform:
    return site_transform(
        statistics.width,
        block=lens.rotation if isinstance(lens.rotation, int) else None,
        size=lens.size,
        method=method,
        mean=statistics.mean_abs,
        absmax=statistics.max_abs,
        order_seed=lens.seed,
    )


def _outcome(statistics: SiteStatistics, transform: Transform) -> RotationEffect:
    assert transform.rotation is not None
    ordered = Transform(transform.width, transform.permutation)
    return compare(
        ordered.apply(statistics.sample),
        transform.apply(statistics.sample),
        ordered.apply_mean(statistics.mean_abs),
        transform.rotation.block,
    )


def _curve(x: Float[Tensor, "tokens d"]) -> Density:
    return density(torch.bincount(bins_of(x).flatten(), minlength=BINS), bin_edges())


def _measured(site: SiteStatistics) -> Measures:
    square = site.hessian.diagonal().clamp_min(0)
    return measure(site.sample, site.mean_abs, site.max_abs, square, site.mean_fourth)


def _block(capture: Capture, cache: Outcomes, block: int) -> BlockStatistics:
    kept = cache.artifact(block_key(capture.key, block))
    if kept is None:
        raise CorruptEntry(
            f"the cache does not have block {block} of this capture",
            remedy="choose another block, or capture again: bundles bring the map alone",
        )
    return BlockStatistics.from_tensors(block, kept.tensors)


def _described(run: Summary, key: str, calibration: Calibration, left: tuple[int, ...]) -> Capture:
    return Capture(
        key=key,
        model=run.model,
        dtype=run.recipe.model.dtype,
        calibration=calibration,
        depth=run.depth,
        parameters=run.parameters,
        blocks=left,
        source=run.recipe.model,
        model_digest=run.model_digest,
        recipe=run.recipe,
    )
