"""Which container of GGUF holds a Format; asked before a run too, so nothing heavy is imported."""

from __future__ import annotations

from typing import Literal

from qcore.errors import ExportError
from qcore.formats.format import Format

Container = Literal["Q4_0", "Q5_0", "Q8_0", "MXFP4"]

BLOCK = 32
"""Inputs to a block of these types."""

BITS: dict[Container, float] = {"Q4_0": 4.5, "Q5_0": 5.5, "Q8_0": 8.5, "MXFP4": 4.25}
"""Bits per weight, scale included."""

_MX: dict[str, Container] = {"mxfp4": "MXFP4", "mxfp6_e2m3": "Q8_0", "mxint8": "Q8_0"}


def container_of(fmt: Format) -> Container:
    """The smallest type that holds the format's numbers to the bit.

    Raises:
        ExportError: there is none; says what to do instead.
    """
    if fmt.kind == "mx":
        if fmt.name not in _MX:
            raise ExportError(
                f"no type of GGUF holds {fmt.name}",
                remedy=f"quantize to an INT format or to {', '.join(_MX)}",
            )
        return _MX[fmt.name]
    if fmt.group is not None and fmt.group % BLOCK:
        raise ExportError(
            f"groups of {fmt.group} are no multiple of GGUF's blocks of {BLOCK}",
            remedy="choose 32, 64 or 128, or leave the group out",
        )
    bits = fmt.bits if fmt.symmetric else fmt.bits + 1
    if bits <= 5:
        return "Q4_0" if bits <= 4 else "Q5_0"
    if bits <= 8:
        return "Q8_0"
    raise ExportError(
        f"codes of {fmt.name} less their zero points need 9 bits, and GGUF's types hold 8",
        remedy="quantize to INT8 without zero points",
    )
