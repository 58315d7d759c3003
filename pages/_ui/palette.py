"""One colour per method and one shape per model, the same on every page; scale methods have both.

The colours are Okabe and Ito's, which stay apart for every common colour blindness, moved in
lightness until each has a contrast of at least 3.5 against the light and the dark background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

METHOD_COLOURS = {
    "float": "#7B8494",
    "RTN": "#D55E00",
    "GPTQ": "#2B7BC4",
    "Qronos": "#0A8F6C",
    "GPFQ": "#B0579B",
    "activations only": "#8C7A2E",
    "uniform": "#9C7256",
    "random": "#6B8E23",
    "KL greedy": "#D9415D",
    "knapsack": "#12889A",
    "dMX": "#8A63D2",
    "manual": "#5F7DA8",
}
METHOD_SYMBOLS = {
    "float": "hexagon",
    "RTN": "circle",
    "GPTQ": "diamond",
    "Qronos": "square",
    "GPFQ": "triangle-up",
    "activations only": "pentagon",
    "uniform": "cross",
    "random": "x",
    "KL greedy": "star",
    "knapsack": "triangle-down",
    "dMX": "hourglass",
    "manual": "bowtie",
}
"""Beside their colours, for eyes and printers that see no hue; `-open` is its hollow one."""

NEUTRAL = "#7B8494"
BETTER, WORSE = "#0A8F6C", "#D55E00"
"""Of a difference that is told apart from none."""
CHOSEN = "#E0A100"
"""The ring or frame around what is selected."""

HEAT = "Viridis"
"""Colours of values in a map: even in lightness, told apart with every common colour blindness."""

PROJECTION_COLOURS = {
    "q_proj": "#2B7BC4",
    "k_proj": "#7B8494",
    "v_proj": "#D55E00",
    "o_proj": "#8C7A2E",
    "gate_proj": "#B0579B",
    "up_proj": "#0A8F6C",
    "down_proj": "#D9415D",
}
ORDER_COLOURS = {"kept": "#8A63D2", "permuted": "#12889A"}
"""Of a rotated site: its channels in their own order, or permuted."""

ORDER_SYMBOLS = {"kept": "circle", "permuted": "diamond"}

PATTERNS = ("", "/", ".", "x", "-", "|", "+", "\\")
"""Of bars that lie beside each other, beside their colours."""

PROJECTION_DASHES = {
    "q_proj": "solid",
    "k_proj": "dot",
    "v_proj": "dash",
    "o_proj": "dashdot",
    "gate_proj": "longdash",
    "up_proj": "longdashdot",
    "down_proj": "solid",
}

PIECE_COLOURS = ("#4C7BD9", "#A9762B")
"""Of every other piece of a scale's error, so that each can be seen."""

CLIPPED = "#D55E00"
"""What lies beyond a grid's ends."""

SCALE_COLOURS = {"absmax": "#C2477F", "mse": "#12889A", "piso": "#7A5AF0"}
SCALE_SYMBOLS = {"absmax": "diamond", "mse": "square", "piso": "star"}
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star", "hexagon", "x")

RUN_COLOURS = ("#2B7BC4", "#D55E00", "#0A8F6C", "#B0579B", "#8C7A2E", "#8A63D2")
"""Of runs beside each other, where methods do not tell them apart; the baseline's first."""

RUN_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Beside their colours, for eyes and printers that see no hue."""

BUTTON = "#2563C9"
"""The ground of a page's first button, in both themes: white stands out from it by 5.7. The dark
theme's own colour is brighter, since it is text elsewhere."""

STYLE = (
    f"<style>[data-testid=stBaseButton-primary]:not(:disabled){{background:{BUTTON};"
    f"border-color:{BUTTON};color:#FFFFFF}}"
    "[data-testid=stBaseButton-primary] kbd{color:inherit;opacity:1}</style>"
)

BadgeColour = Literal["red", "orange", "blue", "green", "gray"]

STATE_BADGES: dict[str, tuple[BadgeColour, str]] = {
    "queued": ("gray", ":material/schedule:"),
    "running": ("blue", ":material/progress_activity:"),
    "finished": ("green", ":material/check:"),
    "failed": ("red", ":material/error:"),
    "cancelled": ("orange", ":material/block:"),
}


def colour(method: str) -> str:
    """The method's colour; neutral for one that has none yet."""
    return METHOD_COLOURS.get(method, NEUTRAL)


def symbol(method: str) -> str:
    """The method's shape; a circle for one that has none yet."""
    return METHOD_SYMBOLS.get(method, "circle")


def shapes(values: Sequence[str], *, methods: bool = False) -> dict[str, str]:
    """A shape for each value, by its place in the sorted list; a method's own for methods."""
    return {value: symbol(value) for value in values} if methods else symbols(values)


def colours(values: Sequence[str], *, methods: bool = False) -> dict[str, str]:
    """A colour for each value, by its place in the sorted list; a method's own for methods."""
    if methods:
        return {value: colour(value) for value in values}
    rest = [hue for hue in METHOD_COLOURS.values() if hue not in (NEUTRAL, *RUN_COLOURS)]
    hues = [*RUN_COLOURS, *rest]
    return {value: hues[at % len(hues)] for at, value in enumerate(sorted(set(values)))}


def run_colour(place: int) -> str:
    """The colour of the run at that place of a comparison."""
    return RUN_COLOURS[place % len(RUN_COLOURS)]


def translucent(hex_colour: str, opacity: float) -> str:
    """The colour as CSS rgba()."""
    red, green, blue = (int(hex_colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def symbols(models: Sequence[str]) -> dict[str, str]:
    """A shape for each model, by its place in the sorted list."""
    return {model: SYMBOLS[i % len(SYMBOLS)] for i, model in enumerate(sorted(set(models)))}
