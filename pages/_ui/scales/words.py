"""What the Scales page says: names of methods and objectives, numbers, reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from pages._ui import wording
from qcore.formats.format import named

if TYPE_CHECKING:
    from qcore.analysis.channels import Channel, Rounded, Survey


METHODS = {"absmax": "absmax", "mse": "MSE", "piso": "PiSO"}

OBJECTIVES = {
    "unquantized": "as captured (dense H)",
    "diagonal": "uncorrelated (diagonal of H)",
    "identity": "all alike (weight error)",
}


@dataclass(frozen=True, slots=True)
class Span:
    """How much of the scale axis is drawn.

    Attributes:
        label: what the choice is called.
        around: `all` scales, those of the `methods`, or those of `piso` alone.
        factor: how far beyond them, as a ratio.
    """

    label: str
    around: str
    factor: float


SPANS = {
    "all": Span("All scales", "all", 1.3),
    "methods": Span("The three methods", "methods", 1.15),
    "close": Span("PiSO ± 5 %", "piso", 1.05),
    "closest": Span("PiSO ± 0.5 %", "piso", 1.005),
}


def format_label(name: str) -> str:
    """`INT4`; an MX format's elements by their own name: `E2M1 (MXFP4 elements, float scale)`."""
    fmt = named(name)
    if not fmt.is_float:
        return name.upper()
    shown = name.partition("_")[0].upper()
    return f"E{fmt.exponent}M{fmt.mantissa} ({shown} elements, float scale)"


def limits(channel: Channel, span: Span) -> tuple[float, float]:
    """The scales to draw between."""
    scales = {name: item.landing.scale for name, item in channel.rounded.items()}
    shown = [scales["piso"]] if span.around == "piso" else list(scales.values())
    low, high = min(shown) / span.factor, max(shown) * span.factor
    if span.around == "all":  # from where little is left of the codes to where all are zero
        return low / 4, max(high, span.factor * float(channel.objective.high[1]))
    return low, high


def percent(share: float) -> str:
    """A share as `12.3 %`, `0.0041 %`; small ones keep two digits."""
    value = 100 * share
    if value and abs(value) < 1e-3:
        return f"{value:.1e} %"
    return f"{wording.significant(value, 3 if abs(value) >= 1 else 2)} %"


def times(ratio: float) -> str:
    """`1.08×`, `12×`, `113×`."""
    return (
        f"{wording.significant(ratio, 3 if ratio < 10 else 2)}×" if ratio < 100 else f"{ratio:.0f}×"
    )


def coverage(survey: Survey, over: str) -> str:
    """How many channels the survey has, and what PiSO gains in them."""
    gain = survey.gain(over)
    count, share = len(survey.channel), float((gain > 1.005).mean()) if len(gain) else 0.0
    which = (
        f"All {count} channels"
        if count == survey.of
        else f"{count} of {survey.of} channels, evenly spread (surveying all would take too long)"
    )
    middle = float(pd.Series(gain).median()) if len(gain) else math.nan
    return (
        f"{which}: PiSO's error is lower in {percent(share)}, {METHODS[over]}'s is "
        f"{times(middle)} PiSO's in the median."
    )


def which(survey: Survey, over: str, number: int) -> str:
    """Which channel is looked at, and whether it was chosen for being extreme."""
    if number == survey.most(over):
        return (
            f"Channel {number} is the most extreme of the {len(survey.channel)} surveyed: PiSO "
            f"gains most over {METHODS[over]} here."
        )
    return f"Channel {number} of {survey.of}."


def reason(channel: Channel) -> str:
    """Why the worse of the other two scales is worse, in a sentence with its numbers."""
    best = channel.rounded["piso"]
    name = max(("absmax", "mse"), key=lambda item: channel.rounded[item].landing.error)
    worse = channel.rounded[name]
    ratio = worse.landing.error / max(best.landing.error, 1e-300)
    if ratio < 1.005:
        return "All three scales are as good as each other here: choose another channel."
    return f"{METHODS[name]}'s error is {times(ratio)} PiSO's. {_cause(channel, name, worse, best)}"


def _cause(channel: Channel, name: str, worse: Rounded, best: Rounded) -> str:
    width, shown = len(channel.weight), METHODS[name]
    if worse.clipped_energy > best.clipped_energy + 0.02:
        clipped = wording.count(round(worse.clipped * width), "weight")
        return (
            f"The {shown} scale clips {clipped} of {width}, and those meet "
            f"{percent(worse.clipped_energy)} of the inputs' energy; with PiSO the clipped ones "
            f"meet {percent(best.clipped_energy)}."
        )
    step = worse.landing.scale / best.landing.scale
    if step > 1.03:
        return (
            f"Its grid is {times(step)} as coarse: it reaches for large weights that meet "
            "little of the inputs' energy."
        )
    return (
        f"The two scales differ by {percent(abs(step - 1))} only: rounding errors of correlated "
        "inputs add up at one and cancel at the other, which only the inputs can tell."
    )
