"""Numbers as people read them: with units, and rounded."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

_MISSING = "–"


def size(count: float | None) -> str:
    """Bytes in decimal units: `84.3 MB`."""
    if count is None:
        return _MISSING
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def memory(count: float) -> str:
    """Memory in binary units, as boxes print it: `16 GiB`."""
    return f"{count / 2**30:.3g} GiB"


def duration(seconds: float | None) -> str:
    """`0.4 s`, `42 s`, `3 min 20 s`, `1 h 05 min`."""
    if seconds is None or not math.isfinite(seconds):
        return _MISSING
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest:02d} s" if minutes < 10 else f"{round(whole / 60)} min"
    hours, rest = divmod(round(whole / 60), 60)
    return f"{hours} h {rest:02d} min"


def ago(moment: float, now: float | None = None) -> str:
    """How long ago: `just now`, `5 min ago`, `2 days ago`."""
    seconds = (time.time() if now is None else now) - moment
    for span, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= span:
            count = int(seconds // span)
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''} ago"
    return "just now"


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 run`, `12 runs`, `1,204 runs`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def enumeration(words: Sequence[str]) -> str:
    """`A`, `A and B`, `A, B and C`; empty for none."""
    *first, last = words or ("",)
    return f"{', '.join(first)} and {last}" if first else last


def significant(value: float | None, digits: int = 4) -> str:
    """A number with that many significant digits; large ones in full, with thousands marked."""
    if value is None or not math.isfinite(value):
        return _MISSING
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.{max(digits - 2, 1)}e}"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:.{decimals}f}"


def interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """`[29.1, 31.8]`, or a dash where there is no interval."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return _MISSING
    return f"[{significant(low, digits)}, {significant(high, digits)}]"


def clock(moment: float) -> str:
    """Local date and time: `2026-03-01 14:05`."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
