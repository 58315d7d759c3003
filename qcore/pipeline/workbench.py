"""What one process keeps between runs: the loaded network, and its sizes in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cache.store import Cache
from qcore.event import Progress, silent
from qcore.models.families import block_sites, blocks, linear_module
from qcore.models.loading import Network, load
from qcore.pipeline.keys import Keys


class Workbench:
    """Holds at most one float network, loaded when first needed.

    Whoever changes the network puts it back before the next stage asks for it.
    """

    def __init__(self, root: Path, device: str = "cpu"):
        self.root = root
        self.device = device
        self._network: Network | None = None
        self._key = ""

    def network(self, keys: Keys, progress: Progress) -> Network:
        """The float network that `keys.load` names."""
        if self._network is None or self._key != keys.load:
            self._network = None  # two networks at once may not fit
            self._network = load(
                keys.inputs.source,
                self.root,
                dtype=keys.recipe.model.dtype,
                device=self.device,
                progress=progress,
            )
            self._key = keys.load
        return self._network

    def facts(self, keys: Keys, cache: Cache, progress: Progress = silent) -> dict[str, Any]:
        """The network's sizes: `blocks`, `parameters` (tied ones once), `widths` of inputs."""
        facts = cache.record(keys.load)
        if facts is None:
            model = self.network(keys, progress).model
            parameters = sum(item.numel() for item in model.parameters())
            readers = [linear_module(model, site.linears[0]) for site in block_sites(model, 0)]
            facts = {
                "blocks": len(blocks(model)),
                "parameters": parameters,
                "widths": sorted({reader.in_features for reader in readers}),
            }
            cache.put_record(keys.load, facts)
        return facts
