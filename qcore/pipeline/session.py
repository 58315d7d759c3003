"""What one process keeps between runs: the loaded network, and its sizes in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cache.store import Cache
from qcore.models.families import linear_module, linears
from qcore.models.loading import Network, load
from qcore.models.regions import dimensions
from qcore.pipeline.keys import Keys
from qcore.pipeline.planning.sizes import Sizes
from qcore.progress import Progress, silent
from qcore.serialization import from_plain, to_plain


class Session:
    """Holds at most one float network, loaded when first needed.

    Whoever changes the network puts it back before the next stage asks for it.
    """

    def __init__(self, root: Path, device: str = "cpu"):
        self.root = root
        self.device = device
        self._network: Network | None = None
        self._key = ""

    @property
    def is_empty(self) -> bool:
        """Whether no run has loaded a network yet."""
        return self._network is None

    def network(self, keys: Keys, progress: Progress) -> Network:
        """The float network that `keys.load` names.

        Raises:
            ModelError: it cannot be loaded, or its files were written to since it was.
        """
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
        self._network.require_unchanged()
        return self._network

    def sizes(self, keys: Keys, cache: Cache, progress: Progress = silent) -> Sizes:
        """The network's sizes, from the cache where it has them."""
        kept = cache.record(keys.load)
        if kept is None:
            model = self.network(keys, progress).model
            kept = to_plain(_sizes(model))
            cache.put_record(keys.load, kept)
        return from_plain(Sizes, kept, "sizes")


def _sizes(model: Any) -> Sizes:
    size = dimensions(model)
    head = model.get_output_embeddings().weight
    tied = head is model.get_input_embeddings().weight
    return Sizes(
        size=size,
        parameters=sum(item.numel() for item in model.parameters()),
        linear_parameters=sum(linear_module(model, item).weight.numel() for item in linears(model)),
        tied_parameters=head.numel() if tied else 0,
    )
