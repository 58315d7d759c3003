"""The text itself, each token coloured by what it costs: where does it hurt? Pure.

Colours are steps, not shades of each token's own: a window of 2,048 tokens is then some 100 kB of
markup, and a reader can name a step. Steps follow the values' own quantiles, since KL spans
decades. Tokens are text whatever they contain: markup is escaped, breaks and blanks are drawn.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

STEPS = (0.5, 0.75, 0.9, 0.97, 0.99)
"""Quantiles of the magnitudes at which a token's colour deepens."""

_DRAWN = {"\n": "⏎\n", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"}
_CONTEXT = 12


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to steps of colour.

    Attributes:
        bounds: magnitudes at which the colour deepens, rising.
        signed: whether falls and rises have colours of their own.
    """

    bounds: tuple[float, ...]
    signed: bool

    def step(self, value: float) -> int:
        """0 for no colour, up to `len(bounds)`; negative for falls of a signed scale."""
        if not math.isfinite(value):
            return len(self.bounds)
        deep = int(np.searchsorted(self.bounds, abs(value), side="right"))
        return -deep if self.signed and value < 0 else deep


def scale_of(values: Sequence[float], *, signed: bool) -> Scale:
    """The scale whose steps hold the shares `STEPS` of these values, all windows together."""
    magnitudes = np.abs(np.asarray(values, dtype=np.float64))
    magnitudes = magnitudes[np.isfinite(magnitudes)]
    if not magnitudes.size:
        return Scale((), signed)
    bounds = np.maximum.accumulate(np.quantile(magnitudes, STEPS))
    least = np.finfo(np.float64).tiny  # a token without any difference has no colour
    return Scale(tuple(float(max(bound, least)) for bound in bounds), signed)


def drawn(piece: str) -> str:
    """A token as it can be seen: breaks and blanks as signs, control characters by their code."""
    return "".join(
        _DRAWN.get(sign) or (sign if sign.isprintable() else f"⟨{ord(sign):02x}⟩") for sign in piece
    )


def markup(pieces: Sequence[str], values: Sequence[float], scale: Scale, unit: str) -> str:
    """The window as HTML: one span a token, its value in its title.

    Args:
        pieces: the scored tokens' texts.
        values: a number for each.
        scale: of the colours.
        unit: of the values, for the titles.
    """
    spans = []
    for piece, value in zip(pieces, values, strict=True):
        step = scale.step(value)
        name = f"t{step}" if step >= 0 else f"u{-step}"
        text = html.escape(drawn(piece))
        spans.append(f'<span class="{name}" title="{value:+.3g} {html.escape(unit)}">{text}</span>')
    return f'<div class="tokens" tabindex="0" role="document">{"".join(spans)}</div>'


def style(worse: str, better: str) -> str:
    """The style sheet of `markup`: two hues in steps; falls are underlined too, for who sees none.

    Args:
        worse: hex colour of what costs.
        better: hex colour of what gains.
    """
    rules = [
        ".tokens{white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.7;font-size:.92rem;"
        "max-height:26rem;overflow-y:auto;padding:.5rem;border-radius:.4rem}"
    ]
    for step in range(1, len(STEPS) + 1):
        share = 12 + 14 * step
        rules.append(f".t{step}{{background:color-mix(in srgb,{worse} {share}%,transparent)}}")
        rules.append(
            f".u{step}{{background:color-mix(in srgb,{better} {share}%,transparent);"
            "text-decoration:underline dotted}}"
        )
    return f"<style>{''.join(rules)}</style>"


def worst(
    pieces: Sequence[Sequence[str]], values: Sequence[Sequence[float]], count: int = 20
) -> pd.DataFrame:
    """The tokens of the largest values, each with the words around it.

    Args:
        pieces: of every window.
        values: the same shape.
        count: rows at most.
    """
    flat = [
        (value, window, at)
        for window, row in enumerate(values)
        for at, value in enumerate(row)
        if math.isfinite(value)
    ]
    flat.sort(key=lambda item: -item[0])
    rows = []
    for value, window, at in flat[:count]:
        row = pieces[window]
        before = "".join(map(drawn, row[max(0, at - _CONTEXT) : at]))
        after = "".join(map(drawn, row[at + 1 : at + 1 + _CONTEXT // 2]))
        rows.append(
            {
                "Value": value,
                "Before": before.replace("\n", " "),
                "Token": drawn(row[at]).replace("\n", ""),
                "After": after.replace("\n", " "),
                "Window": window + 1,
                "Place": at + 2,  # the first token of a window is predicted by nothing
            }
        )
    return pd.DataFrame(rows)
