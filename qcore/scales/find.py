"""Scale methods by the names that a recipe gives them."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from qcore.errors import InvalidRecipe
from qcore.formats.format import Format
from qcore.formats.quantized import Scales, storable
from qcore.scales.absmax import absmax
from qcore.scales.mse import mse

DATA_FREE: dict[str, Callable[[Tensor, Format], Scales]] = {"absmax": absmax, "mse": mse}
"""Methods that need the weight alone. Those that need second moments are called by their own name,
since they take H and G besides."""


def find_scales(method: str, weight: Float[Tensor, "out in"], fmt: Format) -> Scales:
    """Scales of `weight` by a data-free method, each a number that the format's scale type holds.

    Raises:
        InvalidRecipe: no such method, or a group that does not divide the width.
        NumericalError: a weight is NaN or infinite.
    """
    if method not in DATA_FREE:
        raise InvalidRecipe(
            f"unknown data-free scale method {method!r}", remedy=f"choose {', '.join(DATA_FREE)}"
        )
    return storable(DATA_FREE[method](weight, fmt), fmt)
