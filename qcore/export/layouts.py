"""What compressed-tensors calls the layout of each Format; asked before a run too.

Read in the library's source, version 0.20.0: `pack-quantized` holds INT2 to INT8, and of the MX
formats it knows E2M1, E2M3 and E4M3.
"""

from __future__ import annotations

from qcore.errors import ExportError
from qcore.formats.format import Format

_MX = {
    "mxfp4": "mxfp4-pack-quantized",
    "mxfp6_e2m3": "mxfp6-pack-quantized",
    "mxfp8_e4m3": "mxfp8-quantized",
}


def layout_of(fmt: Format) -> str:
    """What the library calls the layout of a format's codes: `pack-quantized`, ….

    Raises:
        ExportError: it has none for this format.
    """
    if fmt.kind == "int":
        return "pack-quantized"
    if fmt.name not in _MX:
        raise ExportError(
            f"compressed-tensors has no layout for {fmt.name}",
            remedy=f"quantize to an INT format or to {', '.join(_MX)}",
        )
    return _MX[fmt.name]
