"""Scales of least squared weight error: argmin over s of ‖w − s·q(w; s)‖², group by group, no data.

Integers: every group tries the same fractions of its absmax scale (zero points stay: they scale
with the range), keeps its best, and then alternates twice between the codes at that scale and the
best scale for those codes, s = Σ w·q / Σ q², q = k − z. A step of that alternation cannot raise the
error, and absmax itself is among the fractions, so the result is never worse than absmax.

Microscaling: the power of two among the rule's own and its neighbours; ties go to the rule's own.

Least weight error is not least output error: where a few inputs are large, clipping the weights
they meet can cost much more than the finer grid gains. That is what data-aware scales are for.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kernels.elements import Element, nearest
from qcore.formats.coding import element_of
from qcore.formats.format import Format
from qcore.formats.quantized import Scales
from qcore.scales.absmax import absmax

FRACTIONS = tuple(1.15 * 0.94**i for i in range(36))
"""Of the absmax scale, 1.15 (which clips nothing) down to 0.13 (a heavy tail at 2 bits)."""

ALTERNATIONS = 2
EXPONENT_STEPS = (-1, 1, -2)
CHUNK = 1 << 16
"""Elements worked on at a time, so that every pass but the first finds them in the cache."""


def mse(weight: Float[Tensor, "out in"], fmt: Format) -> Scales:
    """Scales of least squared error among those tried; deterministic.

    Raises:
        InvalidRecipe: the format's group does not divide the width.
        NumericalError: a weight is NaN or infinite.
    """
    start = absmax(weight, fmt)
    groups = start.scale.shape[1]
    rows = weight.float().reshape(len(weight) * groups, -1)
    scale = start.scale.reshape(-1, 1)
    zero = None if start.zero is None else start.zero.reshape(-1, 1)
    element = element_of(fmt)
    search = _best_power if fmt.kind == "mx" else _best_fraction
    best = torch.empty_like(scale)
    step = max(1, CHUNK // rows.shape[1])
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        best[part] = search(rows[part], scale[part], None if zero is None else zero[part], element)
    return Scales(best.reshape(start.scale.shape), start.zero)


def _best_fraction(
    rows: Float[Tensor, "rows group"],
    start: Float[Tensor, "rows 1"],
    zero: Float[Tensor, "rows 1"] | None,
    element: Element,
) -> Float[Tensor, "rows 1"]:
    best = start
    gain, wq, qq = _fit(rows, start, zero, element)
    for fraction in FRACTIONS:
        scale = start * fraction
        found, found_wq, found_qq = _fit(rows, scale, zero, element)
        better = found > gain
        best = torch.where(better, scale, best)
        gain, wq, qq = (
            torch.where(better, new, old)
            for new, old in ((found, gain), (found_wq, wq), (found_qq, qq))
        )
    for _ in range(ALTERNATIONS):
        scale = torch.where(wq > 0, wq / qq, best)
        found, wq, qq = _fit(rows, scale, zero, element)
        # Equal codes give equal gain up to rounding: only what is better moves the scale.
        best, gain = torch.where(found > gain, scale, best), torch.maximum(found, gain)
    return best


def _best_power(
    rows: Float[Tensor, "rows group"],
    start: Float[Tensor, "rows 1"],
    zero: Float[Tensor, "rows 1"] | None,
    element: Element,
) -> Float[Tensor, "rows 1"]:
    best = start
    gain, _, _ = _fit(rows, start, zero, element)
    for step in EXPONENT_STEPS:
        scale = (start * 2.0**step).clamp(2.0**-127, 2.0**127)
        found, _, _ = _fit(rows, scale, zero, element)
        best, gain = torch.where(found > gain, scale, best), torch.maximum(found, gain)
    return best


def _fit(
    rows: Float[Tensor, "rows group"],
    scale: Float[Tensor, "rows 1"],
    zero: Float[Tensor, "rows 1"] | None,
    element: Element,
) -> tuple[Float[Tensor, "rows 1"], Float[Tensor, "rows 1"], Float[Tensor, "rows 1"]]:
    """‖w‖² − ‖w − sq‖² = s(2Σwq − sΣq²), with Σwq and Σq², for the nearest q at scale s."""
    codes = nearest(rows / scale, element, zero)
    wq = torch.linalg.vecdot(rows, codes)[:, None]
    qq = torch.linalg.vecdot(codes, codes)[:, None]
    return scale * (2 * wq - scale * qq), wq, qq
