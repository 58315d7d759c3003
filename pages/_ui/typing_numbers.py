"""Numbers as people type them: a text in which commas separate values, and back.

Some knobs have a word beside their numbers: `all` questions of a task, a damping that is the
method's `own`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qcore.errors import InvalidRecipe


def numbers_text(name: str, values: Sequence[float | None]) -> str:
    """A knob's values as its text; a damping that is the method's own leaves the box empty."""
    if name == "dampings" and tuple(values) == (None,):
        return ""
    return ", ".join(_number_text(name, value) for value in values)


def _number_text(name: str, value: float | None) -> str:
    if value is None:
        return "own"
    if name == "limits" and value == 0:
        return "all"
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def parse(name: str, text: str) -> tuple[Any, ...]:
    """A knob's values, each once.

    Raises:
        InvalidRecipe: something between commas is no number that this knob takes.
    """
    label = name.replace("_", " ")
    if name == "dampings" and not text.strip():
        return (None,)
    values = []
    for part in filter(None, (part.strip() for part in text.replace(";", ",").split(","))):
        try:
            values.append(PARSERS[name](part))
        except ValueError as error:
            raise InvalidRecipe(
                f"{label}: {part[:30]!r} is no number that fits",
                remedy="write numbers, separated by commas",
            ) from error
    return tuple(dict.fromkeys(values))


def _limit(text: str) -> int:
    return 0 if text.lower() == "all" else _positive(text)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _damping(text: str) -> float | None:
    return None if text.lower() == "own" else float(text)


PARSERS: dict[str, Callable[[str], Any]] = {
    "dampings": _damping,
    "expansions": float,
    "calibration_windows": int,
    "calibration_lengths": int,
    "evaluation_windows": int,
    "evaluation_lengths": int,
    "limits": _limit,
    "seeds": int,
}
"""How each knob that is typed reads one of its values."""
