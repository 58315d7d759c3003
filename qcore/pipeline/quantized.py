"""A finished run's network, to be read rather than scored: codes, scales and everything between.

What the cache has evicted is computed again first (`qcore.pipeline.run.ensure`); nothing is
quantized a second time, and no Report is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cache.store import Cache
from qcore.errors import InvalidRecipe
from qcore.machine.home import home
from qcore.pipeline.inputs import resolve_inputs
from qcore.pipeline.keys import Keys
from qcore.pipeline.run import ensure
from qcore.pipeline.session import Session
from qcore.progress import Emit, silent
from qcore.recipe import Recipe

if TYPE_CHECKING:
    from qcore.formats.quantized import Quantized
    from qcore.models.families import Site
    from qcore.models.loading import Network
    from qcore.pipeline.stages.quantize import Quantizer


@dataclass(frozen=True, slots=True)
class QuantizedNetwork:
    """A network as a run leaves it; usable inside `quantized_network` only.

    Attributes:
        recipe: what made it.
        keys: its stages' keys.
        network: with its transforms and quantized weights in place, and its inputs rounded.
        online: the inputs that are rotated at run time.
    """

    recipe: Recipe
    keys: Keys
    network: Network
    online: tuple[Site, ...]
    _quantizer: Quantizer = field(repr=False)

    def codes(self, block: int) -> dict[str, Quantized]:
        """A decoder block's quantized linears by path: `model.layers.0.mlp.up_proj`."""
        return self._quantizer.codes(block)


@contextmanager
def quantized_network(
    recipe: Recipe,
    *,
    cache: Cache,
    emit: Emit = lambda _event: None,
    device: str = "cpu",
    root: Path | None = None,
    session: Session | None = None,
) -> Iterator[QuantizedNetwork]:
    """Lend out the network that a recipe makes, its codes at hand block by block.

    Args:
        recipe: whose weights are quantized.
        cache: where stages are kept and found.
        emit: hears of the stages that must be computed again.
        device: torch's name of the device.
        root: home folder; the user's own by default.
        session: keeps the loaded network between calls.

    Raises:
        InvalidRecipe: its weights stay float.
        QuantscopeError: a stage that was evicted cannot be computed again.
    """
    if recipe.weights is None:
        raise InvalidRecipe(
            "this run leaves its weights float: there are no codes",
            remedy="choose a run whose weights are quantized",
        )
    from qcore.models.families import sites
    from qcore.models.surgery import online_map
    from qcore.pipeline.stages.assign import FormatAssigner
    from qcore.pipeline.stages.capture import Calibrator
    from qcore.pipeline.stages.quantize import Quantizer
    from qcore.pipeline.stages.transform import Transformer

    root = root or home()
    session = session or Session(root, device)
    ensure(recipe, "quantize", cache=cache, emit=emit, device=device, root=root, session=session)
    keys = Keys(recipe, resolve_inputs(recipe, root))
    calibrator = Calibrator(keys, cache, session)
    transformer = Transformer(keys, cache, session, calibrator)
    quantizer = Quantizer(keys, cache, calibrator, transformer)
    with transformer, quantizer:
        if recipe.precision is not None:
            assigner = FormatAssigner(keys, cache, session, calibrator, transformer)
            quantizer.assign(assigner.assign(silent)[0])
        quantizer.quantize(silent)
        network = quantizer.network()
        online = tuple(s for s in sites(network.model) if online_map(network.model, s) is not None)
        yield QuantizedNetwork(recipe, keys, network, online, quantizer)
