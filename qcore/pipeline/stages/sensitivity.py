"""The sensitivity stage: what each layer's formats cost, one record per decoder block.

The table depends on the model, its transforms, the formats and the text, never on a budget: any
budget is solved from the same records. A layer is rounded to nearest with the recipe's own scales;
its inputs too, where they share the layer's width.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from cache.store import Cache, Outcomes
from qcore.calibration.text import windows
from qcore.formats.coding import dequantize
from qcore.machine.home import home
from qcore.models.families import Linear, Site, sites
from qcore.models.surgery import InputMap
from qcore.pipeline.activations import rounding_to
from qcore.pipeline.inputs import resolve_inputs
from qcore.pipeline.keys import Keys
from qcore.pipeline.layers import quantize_together
from qcore.pipeline.methods import Moments
from qcore.pipeline.planning.sizes import kept_sizes
from qcore.pipeline.stages.capture import Calibrator
from qcore.pipeline.stages.transform import Transformer
from qcore.precision.sensitivity import measure
from qcore.precision.table import BlockSensitivity, SensitivityTable
from qcore.progress import Progress
from qcore.recipe import Recipe, Rounding
from qcore.recipe.formats import input_format, weight_format
from qcore.serialization import from_plain, to_plain


class Sensitivities:
    """Measures what is missing of a recipe's table."""

    def __init__(self, keys: Keys, cache: Cache, calibrator: Calibrator, transformer: Transformer):
        self._keys = keys
        self._cache = cache
        self._calibrator = calibrator
        self._transformer = transformer

    def table(self) -> SensitivityTable:
        """All of it, once `complete` has been called."""
        found = _kept(self._keys, self._cache, self._calibrator.blocks)
        assert found is not None
        return found

    def complete(self, progress: Progress) -> bool:
        """Make sure that every block's rows are kept; returns whether they all were."""
        keys, cache = self._keys, self._cache
        blocks = range(self._calibrator.blocks)
        kept = {block for block in blocks if cache.has(keys.block("sensitivity", block))}
        if len(kept) == len(blocks):
            return True
        self._calibrator.hold(blocks)
        network = self._transformer.network(progress)
        calibration, precision = keys.recipe.calibration, keys.recipe.precision
        assert calibration is not None
        assert precision is not None
        probe = precision.probe
        rounder = _Rounder(keys, self._calibrator, self._transformer)
        for found in measure(
            network.model,
            windows(
                network.tokenizer, calibration.text, probe.windows, probe.length, network.words
            ),
            precision.narrow_to_wide,
            weight=rounder.weight,
            inputs=_inputs_of(keys.recipe),
            proxy=rounder.output_error if rounder.has_errors else None,
            skip=kept,
            progress=progress,
        ):
            cache.put_record(keys.block("sensitivity", found.block), to_plain(found))
        return False


def cached(recipe: Recipe, cache: Outcomes, *, root: Path | None = None) -> SensitivityTable | None:
    """The table that a recipe's precision part would look at, if it has been measured.

    Raises:
        ModelError, DataError: what the recipe names cannot be used.
    """
    keys = Keys(recipe, resolve_inputs(recipe, root or home()))
    if recipe.suffix is not None:
        kept = cache.record(keys.key("sensitivity"))
        return None if kept is None else from_plain(SensitivityTable, kept, "sensitivity")
    sizes = kept_sizes(keys.load, cache)
    return None if sizes is None else _kept(keys, cache, sizes.blocks)


def _kept(keys: Keys, cache: Outcomes, blocks: int) -> SensitivityTable | None:
    records = [cache.record(keys.block("sensitivity", block)) for block in range(blocks)]
    rows = [from_plain(BlockSensitivity, item, "sensitivity") for item in records if item]
    return SensitivityTable.of(rows) if rows and len(rows) == blocks else None


def _inputs_of(recipe: Recipe):
    """From a weight format's name to the map of a layer's inputs; None where they stay float."""
    if recipe.activations is None or recipe.precision is None or not recipe.precision.shared:
        return None

    def inputs(name: str) -> InputMap:
        change = rounding_to(input_format(recipe, name))
        assert change is not None
        return change

    return inputs


class _Rounder:
    """One layer at a time, to nearest; remembers the errors that it made."""

    def __init__(self, keys: Keys, calibrator: Calibrator, transformer: Transformer):
        recipe = keys.recipe
        scales = recipe.scales
        if scales.objective == "cross":  # a layer alone has the float network before it
            scales = replace(scales, objective="self")
        self._recipe = replace(recipe, rounding=Rounding("rtn"), scales=scales)
        self._captured = bool(keys.capture)
        self._calibrator = calibrator
        self._transformer = transformer
        self._sites = {
            linear.name: site
            for site in sites(transformer.network().model)
            for linear in site.linears
        }
        self._moments: tuple[Site, Moments] | None = None
        self._errors: dict[tuple[Linear, str], float] = {}

    def weight(self, linear: Linear, name: str) -> Tensor:
        """What the layer multiplies by in the format called `name`, [out, in] float32."""
        fmt = weight_format(self._recipe, name)
        weight = self._transformer.weight(linear)
        moments = self._moments_of(self._sites[linear.name]) if self._captured else None
        ((quantized, row),), _ = quantize_together(self._recipe, [linear], [weight], moments, fmt)
        if row.output_error is not None:
            self._errors[linear, name] = row.output_error
        return dequantize(quantized)

    @property
    def has_errors(self) -> bool:
        """Whether there are second moments, all within float32, to measure output errors with."""
        return self._captured and self._calibrator.fits()

    def output_error(self, linear: Linear, name: str) -> float:
        """tr(E H Eᵀ) / tr(W H Wᵀ) on the captured inputs; of a layer that was rounded before."""
        return self._errors.pop((linear, name))

    def _moments_of(self, site: Site) -> Moments:
        if self._moments is None or self._moments[0] != site:
            seen = self._calibrator.block(site.block).sites[site.name].hessian
            moment = self._transformer.moment(site, seen)
            device = next(self._transformer.network().model.parameters()).device
            self._moments = (site, Moments(moment.to(device)))
        return self._moments[1]
