"""Model expansion: wider inputs for online rotations (arXiv 2503.17513).

The N features in front of an online Hadamard are padded with zeros to M > N and rotated by the
larger matrix: Ĥ, the first N rows of H_M, satisfies ĤĤᵀ = I, so X Wᵀ = (XĤ)(WĤ)ᵀ still. The M − N
new dimensions are null space that error correction can push rounding errors into; the bound on
GPTQ's reconstruction error shrinks by √(N/M). The price is a weight with M columns.

*Sizes.* One step is the next larger v·2^k with v in `CORES`. Powers of two are not candidates: the
step from 8192 to 16384 would double the layer. A block rotation takes those that its block divides.

*The percentage.* A user asks for growth in per cent of all parameters. Sites (down_proj of all
layers, perhaps o_proj of all layers) grow together: the solver walks through the sizes of all
sites in the order of their growth M/N, so that no site runs ahead of another by more than a step,
and stops where the total is closest to what was asked.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qcore.errors import InvalidRecipe

CORES = (172, 156, 152, 140, 108, 60, 52, 40, 36, 28, 20, 12)
"""v in the admissible sizes v·2^k."""


@dataclass(frozen=True, slots=True)
class ExpandableSite:
    """Linear layers of one kind whose input may grow.

    Attributes:
        name: `down_proj`, `o_proj`.
        width: input features N.
        rows: output features.
        count: layers of this kind.
    """

    name: str
    width: int
    rows: int
    count: int

    def growth(self, size: int) -> int:
        """Parameters added when every input of this kind has `size` features."""
        return (size - self.width) * self.rows * self.count


@dataclass(frozen=True, slots=True)
class Expansion:
    """Sizes chosen for a percentage.

    Attributes:
        sizes: site name → M; equal to N where the site stays as it is.
        steps: site name → how many admissible sizes it went up.
        added: parameters added.
        percent: `added` in per cent of the model's parameters: what was reached.
        asked: what was asked for.
    """

    sizes: dict[str, int]
    steps: dict[str, int]
    added: int
    percent: float
    asked: float


def admissible_sizes(width: int, *, block: int = 1) -> Iterator[int]:
    """Sizes above `width` in rising order, without end: v·2^k that `block` divides.

    Raises:
        InvalidRecipe: a block that is no power of two; it would divide few sizes or none.
    """
    if block < 1 or block & (block - 1):
        raise InvalidRecipe(
            f"block {block} is no power of two, and expanded sizes are v·2^k",
            remedy="choose 16, 32, 64, 128, 256 or 512",
        )
    low = width
    while True:
        # The least v·2^k above `low`, for every v; it lies within the octave unless v itself is
        # beyond it.
        octave = {v << (low // v).bit_length() for v in CORES}
        yield from sorted(size for size in octave if low < size <= 2 * low and size % block == 0)
        low *= 2


def solve(
    sites: Sequence[ExpandableSite], parameters: int, percent: float, *, block: int = 1
) -> Expansion:
    """The sizes whose total growth is closest to `percent` of `parameters`.

    Args:
        sites: what may grow; ties in relative growth go to the site named first.
        parameters: of the whole model, tied ones once.
        percent: 0 to 100.
        block: features to a block of the rotation that follows; 1 for a full rotation.

    Raises:
        InvalidRecipe: a percentage that is negative, above 100 or not a number.
    """
    if not 0 <= percent <= 100:
        raise InvalidRecipe(
            f"an expansion of {percent:g} % is out of range", remedy="choose 0 to 100"
        )
    target = parameters * percent / 100
    sizes = {site.name: site.width for site in sites}
    steps = {site.name: 0 for site in sites}
    added = 0
    for site, size in _walk(sites, block):
        more = added + site.growth(size) - site.growth(sizes[site.name])
        if abs(more - target) >= abs(added - target):
            break  # totals only grow: what follows is further away
        added = more
        sizes[site.name] = size
        steps[site.name] += 1
    return Expansion(sizes, steps, added, 100 * added / parameters, percent)


def _walk(sites: Sequence[ExpandableSite], block: int) -> Iterator[tuple[ExpandableSite, int]]:
    """Every site's admissible sizes, merged by relative growth."""

    def ladder(rank: int, site: ExpandableSite) -> Iterator[tuple[float, int, int]]:
        for size in admissible_sizes(site.width, block=block):
            yield size / site.width, rank, size

    merged = heapq.merge(*(ladder(rank, site) for rank, site in enumerate(sites)))
    return ((sites[rank], size) for _, rank, size in merged)
