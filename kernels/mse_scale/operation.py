"""MSE scale search: the scale at which a row of integers has the least squared weight error.

For codes q = nearest(w/s), ‖w − sq‖² = ‖w‖² − s(2Σwq − sΣq²): the bracket's product is the *gain*,
and the scale of most gain wins. Every row tries the same fractions of its starting scale; then it
alternates between the codes at the scale found and the best scale for those codes, s = Σwq / Σq²,
a step that cannot lower the gain but for rounding, so a step is kept only when it raises it.

On the CPU a compiled twin (`kernels.mse_scale.compiled`) takes the reference's place.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.checks import require_together
from kernels.dispatch import Implementation, choose
from kernels.elements.values import Element, FixedPoint, nearest

CHUNK = 1 << 16
"""Elements worked on at a time, so that every pass but the first finds them in the cache."""


def search_mse_scale(
    rows: Float[Tensor, "rows width"],
    start: Float[Tensor, " rows"],
    zero: Float[Tensor, " rows"] | None,
    element: FixedPoint,
    fractions: Sequence[float],
    *,
    alternations: int = 2,
    implementation: Implementation | None = None,
) -> Float[Tensor, " rows"]:
    """The scale found for each row, `start` itself among those tried; all float32.

    Args:
        rows: weights that share a scale, row by row.
        start: positive scales to search from.
        zero: whole zero points, kept as they are.
        element: the integers to round to; fraction 0.
        fractions: multiples of `start`, tried in this order; the first of equals wins.
        alternations: refinements after that.
        implementation: which implementation; None leaves it to `kernels.dispatch`.

    Raises:
        KernelError: rows, scales and zero points on different devices.
    """
    require_together(rows=rows, start=start, zero=zero)
    choice = choose(
        "scale by shrinking", rows.device, {"compiled": None}, implementation=implementation
    )
    if choice.implementation == "compiled":
        from kernels.mse_scale.compiled import search_mse_scale_compiled  # numba is slow to import

        return search_mse_scale_compiled(rows, start, zero, element, fractions, alternations)
    best = torch.empty_like(start)
    step = max(1, CHUNK // rows.shape[1])
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        offset = None if zero is None else zero[part, None]
        best[part] = _search(
            rows[part], start[part, None], offset, element, fractions, alternations
        ).squeeze(1)
    return best


def gain(
    rows: Float[Tensor, "rows width"],
    scale: Float[Tensor, "rows 1"],
    zero: Float[Tensor, "rows 1"] | None,
    element: Element,
) -> tuple[Float[Tensor, "rows 1"], Float[Tensor, "rows 1"], Float[Tensor, "rows 1"]]:
    """‖w‖² − ‖w − sq‖², Σwq and Σq² for the nearest q at scale s."""
    codes = nearest(rows / scale, element, zero)
    wq = torch.linalg.vecdot(rows, codes)[:, None]
    qq = torch.linalg.vecdot(codes, codes)[:, None]
    return scale * (2 * wq - scale * qq), wq, qq


def _search(
    rows: Float[Tensor, "rows width"],
    start: Float[Tensor, "rows 1"],
    zero: Float[Tensor, "rows 1"] | None,
    element: FixedPoint,
    fractions: Sequence[float],
    alternations: int,
) -> Float[Tensor, "rows 1"]:
    best = start
    most, wq, qq = gain(rows, start, zero, element)
    for fraction in fractions:
        scale = start * fraction
        found, found_wq, found_qq = gain(rows, scale, zero, element)
        better = found > most
        best, most = torch.where(better, scale, best), torch.where(better, found, most)
        wq, qq = torch.where(better, found_wq, wq), torch.where(better, found_qq, qq)
    for _ in range(alternations):
        scale = torch.where(wq > 0, wq / qq, best)
        found, wq, qq = gain(rows, scale, zero, element)
        best, most = torch.where(found > most, scale, best), torch.maximum(found, most)
    return best
