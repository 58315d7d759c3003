"""The compiled CPU twin of PiSO's search: chunks of channels over as many threads as torch may use.

Here tensors become the arrays that the loops of `kernels.piso.sweep` work on: the grid's levels as
tracks, H as panels of columns, and each channel's transitions as sorted keys. All in double
precision; channels do not see each other, so the result does not depend on the number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kernels.piso.sweep import COLUMNS, STREAM_COLUMNS, prepare, products, sweep
from kernels.piso.values import MARGINS, STORAGE, Side, sides

STAIRCASE_LEVELS = 40
"""Up to this many levels (6 bits) the staircase is no slower than the stream, measured at widths
576 and 1536; at 64 levels it depends on the width, at 128 the stream is faster."""

_ROWS = 16
"""Channels that share one pass over the panels of H."""


def search_compiled(weights, grid, hessian, target, storage):
    """As `kernels.piso.operation.search` without signs: (scale, e) of every channel, float64.

    A scale is 0 where no code at all is best.
    """
    rows, width = weights.shape
    w, aim = (np.ascontiguousarray(part.double().numpy()) for part in (weights, target))
    middle, gap, levels_a, side, split = _tracks(*sides(grid))
    staircase = len(gap) <= STAIRCASE_LEVELS and width < 1 << 16
    panels, diagonal = _operands(hessian, COLUMNS if staircase else STREAM_COLUMNS)
    rule = np.array(STORAGE[storage])
    scales, errors = np.zeros(rows), np.zeros(rows)

    def run(first: int) -> None:
        part = slice(first, first + _ROWS)
        count = len(w[part])
        entry, lengths = np.empty((count, 2, width), np.int32), np.empty((count, 2), np.int64)
        keys = np.empty((count, width * len(gap)), np.int64)
        order = np.argsort(-np.abs(w[part]), axis=1)
        most = prepare(w[part], order, middle, levels_a, side, split, entry, lengths, keys)
        keys = np.sort(keys[:, :most], axis=1)
        sweep(
            w[part], aim[part], panels, diagonal, entry, lengths, keys, gap, levels_a, side, split,
            staircase, MARGINS[storage], rule, scales[part], errors[part],
        )  # fmt: skip

    with ThreadPoolExecutor(max_workers=torch.get_num_threads()) as pool:
        list(pool.map(run, range(0, rows, _ROWS)))
    return torch.from_numpy(scales), torch.from_numpy(errors)


def products_compiled(
    owner: Int[np.ndarray, "transitions"],
    step: Float[np.ndarray, "transitions"],
    hessian: Float[Tensor, "in in"] | Float[Tensor, "in"],
) -> Float[np.ndarray, "transitions"]:
    """As `kernels.piso.operation.products`."""
    panels, diagonal = _operands(hessian, STREAM_COLUMNS)
    return products(panels, diagonal, owner.astype(np.int32), step)


def _operands(hessian: Tensor, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """H's panels, none of them for a diagonal H, and its diagonal; both in double."""
    dense = hessian.dim() == 2
    panels = _panels(hessian, columns) if dense else np.empty((0, 0, 0))
    return panels, (hessian.diagonal() if dense else hessian).double().numpy().copy()


def _panels(hessian: Tensor, columns: int) -> np.ndarray:
    """H as [panels, in, columns], the last panel padded with zeros."""
    width = hessian.shape[0]
    count = -(-width // columns)
    padded = torch.nn.functional.pad(hessian.double(), (0, count * columns - width))
    return padded.reshape(width, count, columns).transpose(0, 1).contiguous().numpy()


def _tracks(positive: Side, negative: Side):
    """The grid's levels as the compiled form wants them: see `kernels.piso.sweep`."""
    short, long = sorted((positive, negative), key=lambda side: len(side.gap))
    common = len(short.gap)
    side = 0 if common == len(long.gap) else (1 if long is positive else -1)
    split = short.middle != long.middle[:common] or short.gap != long.gap[:common]
    if split:
        a, b, side = positive, negative, -1
    else:
        a, b = short, Side(long.middle[common:], long.gap[common:])
    return np.array(a.middle + b.middle), np.array(a.gap + b.gap), len(a.gap), side, split
