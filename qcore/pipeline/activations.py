"""Activation quantizers in a network: which function serves which input site."""

from __future__ import annotations

from qcore.formats.coding import fake_quantize
from qcore.formats.format import Format
from qcore.models.surgery import Surgery


def quantize_inputs(surgery: Surgery, fmt: Format) -> None:
    """Round the input of every linear to `fmt`, once for all linears that share it."""
    surgery.map_inputs(lambda site: lambda x: fake_quantize(x, fmt))
