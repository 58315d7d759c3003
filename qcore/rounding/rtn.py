"""Round to nearest: each weight takes the code closest to it, alone.

No data, no interaction between weights; least ‖W − Ŵ‖² for the given scales, and the baseline
that error correction (GPTQ and its kin) must beat on ‖X(W − Ŵ)ᵀ‖².
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from qcore.formats.coding import require_finite, round_to_nearest
from qcore.formats.format import Format
from qcore.formats.quantized import Quantized, Scales


def rtn(weight: Float[Tensor, "out in"], scales: Scales, fmt: Format) -> Quantized:
    """Codes of the nearest representable values, ties to the even code; float32 arithmetic.

    Raises:
        NumericalError: a weight is NaN or infinite.
    """
    require_finite("weight", weight)
    return Quantized(round_to_nearest(weight.float(), scales, fmt), scales, fmt)
