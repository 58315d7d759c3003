"""A finished suffix run's network, out of the cache, to be asked about single prefixes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cache.store import Cache
from qcore.pipeline.inputs import resolve_inputs
from qcore.pipeline.keys import Keys
from qcore.pipeline.planning.plan import is_cached
from qcore.pipeline.stage import stage_names
from qcore.pipeline.suffix.answers import References
from qcore.pipeline.suffix.material import Material
from qcore.pipeline.suffix.quantizing import MatrixQuantizer
from qcore.pipeline.suffix.training import Trainer
from qcore.progress import silent
from qcore.recipe import Recipe
from qcore.serialization import from_plain
from qcore.suffix.cells import Tap
from qcore.suffix.encoding import Encoder
from qcore.suffix.model import SuffixNetwork


@dataclass(frozen=True, slots=True, eq=False)
class OpenNetwork:
    """A network as a run left it.

    Attributes:
        network: with its rounded weights.
        tap: rounds its inputs; None where they stay in float.
        encoder: what it reads cases with.
        longest: events of a suffix at most.
        reach: events of a drawn suffix at most.
        alpha: of the beam's score; None where the run had no beam.
    """

    network: SuffixNetwork
    tap: Tap | None
    encoder: Encoder
    longest: int
    reach: int
    alpha: float | None


def open_network(recipe: Recipe, cache: Cache, root: Path) -> OpenNetwork | None:
    """The network of a recipe; None where the cache lacks a stage of its run.

    Raises:
        DataError: the log cannot be read.
    """
    keys = Keys(recipe, resolve_inputs(recipe, root))
    needed = [name for name in stage_names(recipe) if name in ("train", "reference", "assign")]
    needed += ["quantize"] if recipe.weights is not None else []
    if not all(is_cached(keys, cache, name) for name in needed):
        return None
    material = Material(recipe)
    trainer = Trainer(keys, cache, root, material)
    trainer.complete(silent)
    quantizer = MatrixQuantizer(keys, cache, material, trainer)
    if recipe.precision is not None:
        quantizer.assign(silent)
    if recipe.weights is not None:
        quantizer.quantize(silent)
    settled = from_plain(References, cache.record(keys.key("reference")), "reference")
    return OpenNetwork(
        quantizer.network(),
        quantizer.tap(),
        trainer.encoder,
        settled.longest,
        settled.reach,
        settled.alpha,
    )
