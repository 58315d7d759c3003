"""The capture, sensitivity, assign and quantize stages of a suffix network.

Second moments come from teacher-forced passes over training cases. Where rounding sees float
inputs, one capture serves every matrix and every recipe. Where it sees quantized ones, matrices are
rounded in the order in which a case meets them, each on what those before it really produce; the
network is small enough to run again for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from cache.store import Artifact, Cache
from qcore.errors import CorruptEntry
from qcore.formats.format import Format, named
from qcore.pipeline.keys import Keys
from qcore.pipeline.layer_formats import LayerFormats
from qcore.pipeline.layers import Layer, pack, rows, unpack
from qcore.pipeline.methods import Moments, needs_cross
from qcore.pipeline.suffix.answers import CaseLosses, losses
from qcore.pipeline.suffix.layers import (
    in_order,
    is_embedding,
    layer_sizes_of,
    quantize_matrix,
    rounding_tap,
    weight_of,
)
from qcore.pipeline.suffix.material import Material
from qcore.pipeline.suffix.training import Trainer
from qcore.precision.budget import assign
from qcore.precision.table import SensitivityTable
from qcore.progress import Progress
from qcore.recipe import Recipe, Rounding
from qcore.recipe.formats import input_format, weight_format
from qcore.report.report import LayerReport, PrecisionReport
from qcore.serialization import from_plain, to_plain
from qcore.suffix.cells import Tap
from qcore.suffix.matrices import Matrix, second_moments, with_weights
from qcore.suffix.model import SuffixNetwork
from qcore.suffix.train import teacher_forced


class MatrixQuantizer:
    """Quantizes what is missing, and hands out the quantized network."""

    def __init__(self, keys: Keys, cache: Cache, material: Material, trainer: Trainer):
        self._keys = keys
        self._recipe = keys.recipe
        self._cache = cache
        self._material = material
        self._trainer = trainer
        self._formats: dict[str, str] = {}
        self._made: Artifact | None = None

    def capture(self, progress: Progress) -> bool:
        """Make sure that the float network's moments are kept; returns whether they were."""
        key = self._keys.key("capture")
        if self._cache.has(key):
            return True
        progress(0, 1, f"{len(self._material.calibration):,} prefixes")
        found = second_moments(self._trainer.network(), self._material.calibration_batches())
        self._cache.put_artifact(key, {name: h.float() for name, h in found.items()})
        return False

    def sense(self, progress: Progress) -> bool:
        """Measure every matrix in every format; returns whether that was kept."""
        key = self._keys.key("sensitivity")
        if self._cache.has(key):
            return True
        self._cache.put_record(key, to_plain(self._measured(progress)))
        return False

    def assign(self, progress: Progress) -> tuple[PrecisionReport, bool]:
        """Settle one format per matrix; returns how that came about, and whether it was kept.

        Raises:
            InvalidRecipe: the budget cannot be reached with these pins and formats.
        """
        recipe, part, key = self._recipe, self._recipe.precision, self._keys.key("assign")
        assert part is not None
        assert recipe.weights is not None
        kept = self._cache.record(key)
        if kept is not None:
            self._formats = dict(kept["formats"])
            return from_plain(PrecisionReport, kept["report"], "assignment"), True
        table = None
        if part.needs_sensitivity:
            record = self._cache.record(self._keys.key("sensitivity"))
            table = from_plain(SensitivityTable, record, "sensitivity")
        formats = [named(name, recipe.weights.group) for name in part.narrow_to_wide]
        layers = layer_sizes_of(self._trainer.network(), formats)
        solved = assign(layers, part, group=recipe.weights.group, table=table, seed=recipe.seed)
        report = PrecisionReport(bits=solved.bits, cost=solved.cost, note=solved.note)
        self._formats = solved.formats
        plain = {"formats": solved.formats, "report": to_plain(report)}
        self._cache.put_record(key, plain)
        return report, False

    def quantize(self, progress: Progress) -> tuple[list[LayerReport], bool]:
        """Make sure that every matrix is rounded and kept.

        Returns:
            One row per matrix, and whether the cache had them.
        """
        key = self._keys.key("quantize")
        kept = self._cache.artifact(key)
        if kept is None:
            made = self._rounded(progress)
            self._cache.put_artifact(key, *pack(made))
            again = self._cache.artifact(key)
            if again is None:
                raise CorruptEntry(
                    "the rounded matrices cannot be read back from the cache",
                    remedy="run the recipe again; if it recurs, check the disk",
                )
            self._made = again
            return [row for _, row in made], False
        self._made = kept
        return rows(kept), True

    def network(self) -> SuffixNetwork:
        """The network with its rounded weights; the float one where none are rounded."""
        whole = self._trainer.network()
        if self._made is None:
            return whole
        widths = {matrix.name: matrix.weight.shape[1] for matrix in in_order(whole)}
        found = unpack(self._made, self._layer_formats.weight)
        rounded = {
            row.name: weight_of((found[row.name], row), widths[row.name])
            for row in rows(self._made)
        }
        return with_weights(whole, rounded)

    def tap(self) -> Tap | None:
        """Rounds the inputs of all matrices; None where they stay in float."""
        names = [matrix.name for matrix in in_order(self._trainer.network())]
        return rounding_tap(self._inputs(names))

    @property
    def _layer_formats(self) -> LayerFormats:
        return LayerFormats(self._recipe, self._formats)

    def _inputs(self, names: list[str]) -> dict[str, Format]:
        formats = ((name, self._layer_formats.inputs(name)) for name in names)
        return {name: fmt for name, fmt in formats if fmt is not None and not is_embedding(name)}

    def _rounded(self, progress: Progress) -> list[Layer]:
        found: list[Layer] = []
        network = whole = self._trainer.network()
        order = in_order(whole)
        plain = self._captured()
        tap = self.tap() if self._recipe.rounding.inputs != "float" else None
        for at, matrix in enumerate(order):
            progress(at, len(order), matrix.name)
            moments = None
            if plain is not None:
                moments = self._moments(matrix, plain, network, whole, tap)
            layer = quantize_matrix(
                self._recipe, matrix, self._layer_formats.weight(matrix.name), moments
            )
            found.append(layer)
            if self._recipe.rounding.inputs != "float":
                rounded = {matrix.name: weight_of(layer, matrix.weight.shape[1])}
                network = with_weights(network, rounded)
        return found

    def _captured(self) -> Mapping[str, Tensor] | None:
        if not self._keys.key("capture"):
            return None
        kept = self._cache.artifact(self._keys.key("capture"))
        if kept is None:
            self.capture(lambda done, total, message: None)
            kept = self._cache.artifact(self._keys.key("capture"))
        assert kept is not None
        return kept.tensors

    def _moments(
        self,
        matrix: Matrix,
        plain: Mapping[str, Tensor],
        network: SuffixNetwork,
        whole: SuffixNetwork,
        tap: Tap | None,
    ) -> Moments:
        """What rounding is to see of a matrix's inputs."""
        rounding = self._recipe.rounding
        if is_embedding(matrix.name):
            alike = torch.eye(matrix.weight.shape[1])
            return Moments(alike, alike if needs_cross(self._recipe) else None)
        if rounding.inputs == "float":
            return Moments(plain[matrix.name].float())
        hessian, cross = torch.zeros(2, *plain[matrix.name].shape, dtype=torch.float64)
        with torch.inference_mode():
            for batch in self._material.calibration_batches():
                seen = _inputs_of(matrix.name, network, batch, tap)
                hessian += seen.T @ seen
                if needs_cross(self._recipe):
                    cross += seen.T @ _inputs_of(matrix.name, whole, batch, None)
        return Moments(
            hessian.float(),
            cross.float() if needs_cross(self._recipe) else None,
            plain[matrix.name].float() if rounding.interleaving == "decoupled" else None,
        )

    def _measured(self, progress: Progress) -> SensitivityTable:
        recipe, part = self._recipe, self._recipe.precision
        assert part is not None
        assert recipe.weights is not None
        whole, order = self._trainer.network(), in_order(self._trainer.network())
        names, plain = part.narrow_to_wide, self._captured()
        nearest = replace(recipe, rounding=Rounding("rtn"), scales=_alone(recipe))
        asked, encoded = self._material.probe, self._material.encoded
        base = losses(whole, None, encoded, asked)
        table: dict[str, list[tuple[float, ...]]] = {"kl": [], "loss": [], "proxy": []}
        for at, matrix in enumerate(order):
            progress(at, len(order), matrix.name)
            costs: list[tuple[float, float, float]] = []
            for name in names:
                moments = None
                if plain is not None:
                    own = torch.eye(matrix.weight.shape[1])
                    moments = Moments(own if is_embedding(matrix.name) else plain[matrix.name])
                layer = quantize_matrix(nearest, matrix, weight_format(nearest, name), moments)
                changed = {matrix.name: weight_of(layer, matrix.weight.shape[1])}
                tap = None
                if recipe.activations is not None and part.shared:
                    inputs = input_format(recipe, name)
                    tap = rounding_tap({} if is_embedding(matrix.name) else {matrix.name: inputs})
                found = losses(with_weights(whole, changed), whole, encoded, asked, tap=tap)
                kl, loss = _means(found, base)
                costs.append((kl, loss, layer[1].output_error or 0.0))
            for place, measure in enumerate(("kl", "loss", "proxy")):
                table[measure].append(tuple(cost[place] for cost in costs))
        formats = [named(name, recipe.weights.group) for name in names]
        return SensitivityTable(
            layer_sizes_of(whole, formats),
            names,
            tuple(table["kl"]),
            tuple(table["loss"]),
            tuple(table["proxy"]) if plain is not None else (),
            sum(base.targets),
        )


def _alone(recipe: Recipe):
    """A matrix alone has the float network before it: cross is self."""
    scales = recipe.scales
    return replace(scales, objective="self") if scales.objective == "cross" else scales


def _means(found: CaseLosses, base: CaseLosses) -> tuple[float, float]:
    """KL and increase in loss, nats per event."""
    count = max(1, sum(found.targets))
    return sum(found.kl) / count, (sum(found.losses) - sum(base.losses)) / count


def _inputs_of(name: str, network: SuffixNetwork, batch, tap: Tap | None) -> Tensor:
    """All inputs of one matrix in a teacher-forced pass, as rows, float64; rounded by the tap."""
    seen: list[Tensor] = []

    def watch(matrix: str, x: Tensor) -> Tensor:
        x = x if tap is None else tap(matrix, x)
        if matrix == name:
            seen.append(x.reshape(-1, x.shape[-1]).double())
        return x

    network.eval()
    teacher_forced(network, batch, tap=watch)
    return torch.cat(seen)
