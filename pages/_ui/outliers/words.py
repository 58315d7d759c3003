"""What the Outliers page says: measures and their meaning, labels, verdicts."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pages._ui import wording

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture, Place, RotationEffect, View


KEPT, PERMUTED = "order kept", "permuted"


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that the map can show: its label, and what it means."""

    label: str
    meaning: str


MEASURES = {
    "token_kurtosis": Measure(
        "Kurtosis, median token",
        "E(x − μ)⁴ / σ⁴ over a token's channels, median of the sampled tokens. 3 for a normal "
        "distribution.",
    ),
    "token_peak_to_rms": Measure(
        "Peak / RMS, median token",
        "‖x‖∞ / RMS(x) of a token, median of the sampled tokens: what a scale per token pays for "
        "its largest channel.",
    ),
    "kurtosis": Measure(
        "Kurtosis, all tokens together",
        "E x⁴ / (E x²)² over all tokens and channels. A few tokens of massive activations raise it "
        "alone.",
    ),
    "peak_to_rms": Measure(
        "Peak / RMS, all tokens together",
        "max|x| / √E x² over all tokens and channels: what one static scale would have to span.",
    ),
    "imbalance": Measure(
        "Heaviest block / mean block",
        "E‖x‖₁ of the heaviest run of 32 channels over the mean of all: what a permutation can "
        "gain for a rotation in blocks. 1 is ideal.",
    ),
}

METHODS = {
    "identity": "Off",
    "massdiff": "MassDiff",
    "zigzag": "Zigzag",
    "absmax": "Sorted by peak",
    "random": "Random",
}

WHERE = {
    "attention_input": "In a quantized network this site is rotated by R1, fused into the weights. "
    "R1 acts before the norm's weights are applied; shown here is the input with them.",
    "attention_output": "In a quantized network this site is rotated by R2, fused and within "
    "heads, or online when it is expanded.",
    "mlp_input": "In a quantized network this site is rotated by R1, fused into the weights. "
    "R1 acts before the norm's weights are applied; shown here is the input with them.",
    "mlp_hidden": "In a quantized network this site is rotated by R4, online; the permutation is "
    "fused into gate, up and down and costs nothing at run time.",
}


@functools.cache
def site_labels() -> dict[str, str]:
    """Site → what people call it, with who reads it: `Attention input (q, k, v)`."""
    from qcore.models.family import BLOCK_SITES

    return {
        site.name: f"{site.name.replace('_', ' ').capitalize().replace('Mlp', 'MLP')} ("
        + ", ".join(path.rsplit(".", 1)[1].removesuffix("_proj") for path in site.linears)
        + ")"
        for site in BLOCK_SITES
    }


def rotation_label(rotation: str | int) -> str:
    """`None`, `Full`, `Blocks of 32`."""
    return f"Blocks of {rotation}" if isinstance(rotation, int) else rotation.capitalize()


def size_label(size: int, place: Place, capture: Capture, hidden: int) -> str:
    """`1664 (+8.3 %; +1.6 % of all parameters)`; the share where one linear reads the site."""
    if size == place.width:
        return f"{size} (none)"
    text = f"{size} (+{100 * (size / place.width - 1):.1f} %"
    if place.site in ("attention_output", "mlp_hidden") and hidden:
        added = (size - place.width) * hidden * capture.depth
        text += f"; +{100 * added / capture.parameters:.1f} % of all parameters"
    return text + ")"


def outcomes(view: View) -> list[tuple[str, RotationEffect]]:
    """List the outcomes to compare: channels in their own order, and permuted."""
    pairs = ((KEPT, view.kept), (PERMUTED, view.permuted))
    return [(name, outcome) for name, outcome in pairs if outcome is not None]


def headlines(view: View) -> list[tuple[str, str, str, str]]:
    """(label, value, what it was, meaning) of the numbers above the figures."""
    final = view.permuted or view.kept
    after = final.rotated if final else view.before
    kept = view.kept.rotated if view.permuted and view.kept else None
    rows = []
    for name, label, meaning in (
        ("kurtosis", "Kurtosis", MEASURES["token_kurtosis"].meaning),
        ("peak_to_rms", "Peak / RMS", MEASURES["token_peak_to_rms"].meaning),
        ("peak", "Peak ‖x‖∞", "The largest magnitude in a token; median of the sampled tokens."),
    ):
        was = [f"{_median(getattr(view.before, name))} before"] if final else []
        was += [f"{_median(getattr(kept, name))} {KEPT}"] if kept else []
        rows.append((label, _median(getattr(after, name)), " · ".join(was), meaning))
    if final is None or view.kept is None:
        return rows
    was_bound = f"{_median(final.ideal)} ideal"
    was_mass, was_worse = "1 ideal", ""
    if view.permuted:
        was_bound += f" · {_median(view.kept.bound)} {KEPT}"
        was_mass += f" · {view.kept.imbalance:.2f} {KEPT}"
        was_worse = f"{len(view.kept.flagged)} {KEPT}"
    rows.append(("Bound on the peak", _median(final.bound), was_bound, _BOUND))
    rows.append(("Heaviest block / mean", f"{final.imbalance:.2f}", was_mass, _MASS))
    worse = f"{len(final.flagged)} of {len(final.worse)}"
    rows.append(("Blocks made worse", worse, was_worse, _WORSE))
    return rows


_BOUND = (
    "max over blocks of ‖x₍ⱼ₎‖₁ / √b: no entry of the rotated token is larger. The ideal is what "
    "it would be if all blocks weighed the same. Median of the sampled tokens."
)

_MASS = "E‖x₍ⱼ₎‖₁ of the heaviest block over the mean of all blocks, over all calibration tokens."

_WORSE = "Blocks whose largest magnitude the rotation raised in more than two thirds of the tokens."


def verdict(view: View) -> str:
    """A sentence for each order that says which blocks the rotation made worse."""
    found = outcomes(view)
    if len(found) == 2 and not any(len(outcome.flagged) for _, outcome in found):
        return "The rotation made no block worse, permuted or not."
    sentences = []
    for name, outcome in found:
        worse = outcome.flagged
        head = f"With the {name}" if name == KEPT else "Permuted"
        if not len(worse):
            sentences.append(f"{head}, the rotation made no block worse.")
            continue
        listed = ", ".join(map(str, worse[:_LISTED])) + (" …" if len(worse) > _LISTED else "")
        blocks = wording.count(len(worse), "block")
        sentences.append(f"{head}, it made {blocks} of {len(outcome.worse)} worse: {listed}.")
    return " ".join(sentences)


_LISTED = 12


def _median(values: Iterable[float]) -> str:
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return wording.significant(float(np.median(known)) if len(known) else None, 3)
