"""One layer's output channels under the three scale methods: what the Scales page asks about.

A finished Report names its capture and its model. The capture holds H of every input site, the
checkpoint the weight; one tensor is mapped from its file, no network is loaded. Both are those of
the float network before any transform.

A *survey* tells, channel by channel, where absmax, least weight error and PiSO land. Its cost per
channel is d²·levels, so of a large layer, or on a fine grid, an even selection of channels is
surveyed; any other can still be looked at by its number. `look` takes one channel apart.

The error is that of one scale to a whole channel, relative to the channel's output,
‖X(w − s·q)‖²/‖Xw‖². Three objectives say what X is taken for (`qcore.scales.piso`):

    unquantized  the captured inputs, H dense
    diagonal     inputs of the same energies, taken as uncorrelated
    identity     all inputs alike: least weight error
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cache.digest import digest
from cache.store import Cache
from kernels.piso.operation import search
from kernels.piso.values import nearest, score
from qcore.analysis.captures import Capture, site_statistics
from qcore.analysis.objective import ChannelObjective, Landing, channel_objective, landings
from qcore.errors import BrokenCheckpoint, InvalidRecipe
from qcore.formats.coding import grid
from qcore.formats.format import FORMATS, Format
from qcore.models.demo import ensure_dequantized
from qcore.models.families import family_of_config
from qcore.models.family import BLOCK_SITES
from qcore.models.folder import read_config, read_tensor
from qcore.models.loading import resolve
from qcore.numerics.moments import require_moments
from qcore.pipeline.keys import block_key
from qcore.progress import Progress, silent
from qcore.scales.absmax import absmax
from qcore.scales.mse import mse

Objective = Literal["unquantized", "diagonal", "identity"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

METHODS = ("absmax", "mse", "piso")
"""Scale methods, by their names in a recipe."""

GRIDS = tuple(
    name for name, fmt in FORMATS.items() if fmt.is_float or (fmt.kind == "int" and fmt.symmetric)
)
"""Formats whose elements make a grid for one float scale: no zero points, no powers of two."""

LAYERS = {
    path.rsplit(".", 1)[1]: (site.name, path) for site in BLOCK_SITES for path in site.linears
}
"""Projection → the site that it reads, and its path in the decoder block."""

BUDGET = 5e9
"""d²·levels·channels of a survey: about two seconds on one core."""

_SORTING = 128
"""With a diagonal H sorting the transitions takes longest: as much as so many additions each."""

LEAST = 16
"""Channels that a survey has even where they cost more."""

_SURVEY_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A linear layer and the second moments of its input.

    Attributes:
        name: `3.mlp.down_proj`.
        weight: [out, in], float32.
        hessian: [in, in], float64, of the float network's inputs; checked.
    """

    name: str
    weight: Float[Tensor, "out in"]
    hessian: Float[Tensor, "in in"]

    def moment(self, objective: Objective) -> Float[Tensor, "in in"] | Float[Tensor, " in"]:
        """The second moment that the objective uses; one dimension where it is diagonal."""
        if objective == "identity":
            return torch.ones(len(self.hessian), dtype=torch.float64)
        return self.hessian.diagonal() if objective == "diagonal" else self.hessian


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """Scales and errors of each method in many channels of a layer.

    Attributes:
        channel: [n], which channels; silent ones, without any output, are left out.
        of: output channels of the layer.
        error: method → [n], relative to ‖Xw‖² under the survey's objective.
    """

    channel: np.ndarray
    of: int
    error: dict[str, np.ndarray]

    def gain(self, over: str) -> np.ndarray:
        """[n], the other method's error over PiSO's; 1 where PiSO gains nothing."""
        return self.error[over] / np.maximum(self.error["piso"], 1e-300)

    def most(self, over: str) -> int:
        """The channel in which PiSO gains most over another method."""
        return int(self.channel[np.argmax(self.gain(over))])


@dataclass(frozen=True, slots=True)
class Rounded:
    """One channel rounded at a method's scale.

    Attributes:
        landing: the scale, and the error under the objective looked at.
        captured_error: the error on the captured inputs, whatever the objective.
        clipped: share of weights beyond the grid's ends.
        clipped_energy: share of the inputs' energy, Σ H_ii, that those weights meet.
        zero: share of weights that round to zero.
    """

    landing: Landing
    captured_error: float
    clipped: float
    clipped_energy: float
    zero: float


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One output channel under one grid and objective.

    Attributes:
        weight: [in], float64.
        grid: [points], rising.
        objective: the pieces of its error.
        rounded: by method.
    """

    weight: np.ndarray
    grid: np.ndarray
    objective: ChannelObjective
    rounded: dict[str, Rounded]


def layer_of(
    capture: Capture,
    cache: Cache,
    root: Path,
    block: int,
    projection: str,
    progress: Progress = silent,
) -> Layer:
    """Read one layer of the captured network: its weight and its H.

    Raises:
        InvalidRecipe: no such projection.
        CorruptEntry: the cache has lost the block.
        ModelError: the model's files are gone, or not those that were captured.
        NumericalError: moments that are none.
    """
    if projection not in LAYERS:
        raise InvalidRecipe(
            f"{projection[:40]!r} is no projection", remedy=f"choose {', '.join(LAYERS)}"
        )
    site, path = LAYERS[projection]
    source = resolve(capture.source, root, download=False)
    if source.digest != capture.model_digest:
        raise BrokenCheckpoint(
            f"the files of {capture.model} are not those that were captured",
            remedy="choose another capture, or run a recipe of the model as it is now",
        )
    if source.kind == "demo":
        ensure_dequantized(source, root, progress)
    prefix = f"{family_of_config(read_config(source.folder)).blocks}.{block}"
    stored = read_tensor(source.folder, f"{prefix}.{path}.weight")
    weight = stored.to(getattr(torch, capture.dtype)).float()
    hessian = site_statistics(capture, cache, block, site).hessian.double()
    require_moments(weight, hessian)
    return Layer(f"{block}.{path}", weight, hessian)


def survey(layer: Layer, fmt: Format, objective: Objective) -> Survey:
    """Find each method's scale and error in as many channels as `BUDGET` allows, evenly spread."""
    out, width = layer.weight.shape
    levels = len(grid(fmt)) / 2
    each = (width if objective == "unquantized" else _SORTING) * width * levels
    count = min(out, max(LEAST, int(BUDGET / each)))
    chosen = torch.linspace(0, out - 1, count).round().long()
    moment, rows = layer.moment(objective), layer.weight[chosen]
    target = _aim(rows, moment)
    energy = (rows.double() * target).sum(1)
    audible = energy > 0
    rows, target, energy, chosen = (part[audible] for part in (rows, target, energy, chosen))
    error = {
        method: (1.0 + score(rows, scale, grid(fmt), moment, target) / energy).clamp_min(0).numpy()
        for method, scale in _scales(rows, fmt, moment).items()
    }
    return Survey(chosen.numpy(), out, error)


def kept_survey(
    capture: Capture, cache: Cache, layer: Layer, fmt: Format, objective: Objective
) -> Survey:
    """`survey`, from the cache where it was made before."""
    block = int(layer.name.partition(".")[0])
    asked = [layer.name, fmt.name, objective, _SURVEY_VERSION]
    key = digest(["scale survey", block_key(capture.key, block), *asked])
    kept = cache.artifact(key)
    if kept is None:
        found = survey(layer, fmt, objective)
        arrays = {**found.error, "channel": found.channel, "of": np.array(found.of)}
        cache.put_artifact(key, {name: torch.from_numpy(item) for name, item in arrays.items()})
        return found
    held = {name: tensor.numpy() for name, tensor in kept.tensors.items()}
    return Survey(held["channel"], int(held["of"]), {method: held[method] for method in METHODS})


def look(layer: Layer, fmt: Format, objective: Objective, channel: int) -> Channel:
    """One channel: the pieces of its error, and what each method's scale does to it.

    Raises:
        InvalidRecipe: no such channel, or one without any output.
    """
    if not 0 <= channel < len(layer.weight):
        raise InvalidRecipe(
            f"{layer.name} has no channel {channel}",
            remedy=f"choose 0 to {len(layer.weight) - 1}",
        )
    row, moment, points = layer.weight[channel], layer.moment(objective), grid(fmt)
    found = channel_objective(row, points, moment, checked=True)
    scales = {name: float(scale[0]) for name, scale in _scales(row[None], fmt, moment).items()}
    here = landings(row, points, moment, None, scales, found)
    rounded = {name: _rounded(layer, row, points, landing) for name, landing in here.items()}
    return Channel(row.double().numpy(), points.double().numpy(), found, rounded)


def _aim(rows: Tensor, moment: Tensor) -> Tensor:
    double = rows.double()
    return double * moment if moment.dim() == 1 else double @ moment


def _scales(rows: Tensor, fmt: Format, moment: Tensor) -> dict[str, Tensor]:
    """Each method's scale of every row.

    A recipe gives an MX format a power of two per block. With a float scale instead, absmax puts
    the largest weight on the grid's end, and least weight error is found exactly, by PiSO's search
    without data.
    """
    points, ones = grid(fmt), torch.ones(rows.shape[1], dtype=torch.float64)
    if fmt.kind == "int":
        largest, least = absmax(rows, fmt).scale[:, 0], mse(rows, fmt).scale[:, 0]
    else:
        peak = rows.abs().amax(1)
        largest = torch.where(peak > 0, peak, 1.0) / points[-1]
        least = search(rows, points, ones, rows.double()).scale
    best = search(rows, points, moment, _aim(rows, moment)).scale
    return {"absmax": largest.double(), "mse": least.double(), "piso": best}


def _rounded(layer: Layer, row: Tensor, points: Tensor, landing: Landing) -> Rounded:
    scale = torch.tensor([landing.scale], dtype=torch.float64)
    ratio = row.double() / landing.scale
    # Beyond the end by more than half its last step: what rounding to nearest cannot reach.
    low, high = 1.5 * points[0] - 0.5 * points[1], 1.5 * points[-1] - 0.5 * points[-2]
    beyond = (ratio < low) | (ratio > high)
    energies = layer.hessian.diagonal()
    target = row.double() @ layer.hessian
    error = score(row[None], scale, points, layer.hessian, target[None])
    return Rounded(
        landing=landing,
        captured_error=1.0 + float(error) / float(row.double() @ target),
        clipped=float(beyond.double().mean()),
        clipped_energy=float(energies[beyond].sum() / energies.sum()),
        zero=float((nearest(row[None], scale, points) == 0).double().mean()),
    )
