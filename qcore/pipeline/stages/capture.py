"""The capture stage: the float network's statistics, one artifact per decoder block."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Int
from torch import Tensor

from cache.store import Cache
from qcore.calibration.capture import capture
from qcore.calibration.statistics import BlockStatistics
from qcore.calibration.text import windows
from qcore.pipeline.keys import Keys
from qcore.pipeline.session import Session
from qcore.progress import Progress, silent


class Calibrator:
    """Captures what is missing, and hands out a block's statistics."""

    def __init__(self, keys: Keys, cache: Cache, session: Session):
        self._keys = keys
        self._cache = cache
        self._session = session
        self._held: dict[int, BlockStatistics] = {}

    @property
    def blocks(self) -> int:
        """The network's decoder blocks."""
        return self._session.sizes(self._keys, self._cache).blocks

    def hold(self, blocks: Iterable[int]) -> None:
        """Have these blocks' statistics at hand while the network is changed.

        They are mapped from their files, so that not even an eviction takes them away; capturing
        them again would need the untouched network.
        """
        if self._keys.capture:
            self._held.update({block: self.block(block) for block in blocks})

    def capture(self, progress: Progress) -> bool:
        """Make sure that every block's statistics are kept; returns whether they all were."""
        missing = [b for b in range(self.blocks) if not self._cache.has(self._key(b))]
        if missing:
            kept = set(range(self.blocks)) - set(missing)
            model = self._session.network(self._keys, progress).model
            for found in capture(model, self.windows(), progress, skip=kept):
                self._cache.put_artifact(self._key(found.block), found.to_tensors())
        return not missing

    def fits(self) -> bool:
        """Whether float32 holds all second moments; a diagonal tells, since |H_ij|² ≤ H_ii H_jj."""
        return all(
            bool(site.hessian.diagonal().isfinite().all())
            for block in range(self.blocks)
            for site in self.block(block).sites.values()
        )

    def block(self, block: int) -> BlockStatistics:
        """One block's statistics; captured again if the cache has lost them."""
        if block in self._held:
            return self._held[block]
        kept = self._cache.artifact(self._key(block))
        if kept is not None:
            return BlockStatistics.from_tensors(block, kept.tensors)
        model = self._session.network(self._keys, silent).model
        (found,) = capture(model, self.windows(), skip=set(range(self.blocks)) - {block})
        self._cache.put_artifact(self._key(block), found.to_tensors())
        return found

    def windows(self) -> Int[Tensor, "windows length"]:
        """The calibration tokens."""
        part = self._keys.recipe.calibration
        assert part is not None
        network = self._session.network(self._keys, silent)
        return windows(network.tokenizer, part.text, part.windows, part.length, network.words)

    def _key(self, block: int) -> str:
        return self._keys.block("capture", block)
