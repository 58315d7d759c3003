"""Labels of captures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcore.recipe import titles

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture


def capture_label(capture: Capture) -> str:
    """`SmolLM2-135M-Instruct – LAMBADA calibration · 16 × 512 tokens`."""
    read = capture.calibration
    return (
        f"{capture.model} – {titles.text_label(read.text)} · {read.windows} × {read.length} tokens"
        + (f" · {capture.dtype}" if capture.dtype != "float32" else "")
        + (f" · {len(capture.blocks)} layers left" if capture.blocks and capture.lost else "")
    )
