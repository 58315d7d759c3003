"""The text itself, each token coloured by what it costs: where does it hurt? Pure.

Colours are steps, not shades of each token's own: a window of 2,048 tokens is then some 100 kB of
markup, and a reader can name a step. Steps follow the values' own quantiles, since KL spans
decades. Tokens are text whatever they contain: markup is escaped, breaks, blanks and what has no
shape are drawn, and each token keeps its place whichever way its script runs.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

STEPS = (0.5, 0.75, 0.9, 0.97, 0.99)
"""Quantiles of the magnitudes at which a token's colour deepens."""

_DRAWN = {"\n": "⏎\n", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"}
WORST = ("Value", "Before", "Token", "After", "Window", "Place")
"""Columns of the worst tokens."""

_TORN = "⋯"
"""A token that is a part of the next one's character."""

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

    def steps(self, values: ArrayLike) -> np.ndarray:
        """0 for no colour, up to `len(bounds)`; negative for falls of a signed scale."""
        numbers = np.asarray(values, dtype=np.float64)
        deep = np.searchsorted(self.bounds, np.abs(numbers), side="right")
        deep = np.where(np.isfinite(numbers), deep, len(self.bounds))
        return np.where(self.signed & (numbers < 0), -deep, deep)


def scale_of(values: ArrayLike, *, signed: bool) -> Scale:
    """The scale whose steps hold the shares `STEPS` of these values, all windows together."""
    magnitudes = np.abs(np.asarray(values, dtype=np.float64)).ravel()
    magnitudes = magnitudes[np.isfinite(magnitudes)]
    if not magnitudes.size:
        return Scale((), signed)
    bounds = np.maximum.accumulate(np.quantile(magnitudes, STEPS))
    least = np.finfo(np.float64).tiny  # a token without any difference has no colour
    return Scale(tuple(float(max(bound, least)) for bound in bounds), signed)


def drawn(piece: str) -> str:
    """A token as it can be seen: breaks and blanks as signs, control characters by their code."""
    if piece.isascii() and piece.isprintable():
        return piece or _TORN
    return "".join(
        _DRAWN.get(sign) or (sign if sign.isprintable() else f"⟨{ord(sign):02x}⟩") for sign in piece
    )


def markup(
    pieces: Sequence[str],
    values: ArrayLike,
    scale: Scale,
    unit: str,
    *,
    marked: int | None = None,
) -> str:
    """The window as HTML: one span a token, its value in its title.

    Args:
        pieces: the scored tokens' texts.
        values: a number for each.
        scale: of the colours.
        unit: of the values, for the titles.
        marked: the token to frame, counted from 0.
    """
    spans = []
    steps, unit = scale.steps(values).tolist(), html.escape(unit)
    for at, (piece, value, step) in enumerate(zip(pieces, _list(values), steps, strict=True)):
        name = f"t{step}" if step >= 0 else f"u{-step}"
        frame = " at" if at == marked else ""
        text = html.escape(drawn(piece))
        spans.append(f'<span class="{name}{frame}" title="{value:+.3g} {unit}">{text}</span>')
    return f'<div class="tokens" dir="ltr" tabindex="0" role="document">{"".join(spans)}</div>'


def _list(values: ArrayLike) -> list[float]:
    return np.asarray(values, dtype=np.float64).tolist()


def style(worse: str, better: str) -> str:
    """The style sheet of `markup`: two hues in steps; falls are underlined too, for who sees none.

    Args:
        worse: hex colour of what costs.
        better: hex colour of what gains.
    """
    rules = [
        ".tokens{white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.7;font-size:.92rem;"
        "max-height:26rem;overflow-y:auto;padding:.5rem;border-radius:.4rem}",
        # A token whose script runs from right to left must not turn its neighbours around.
        ".tokens span{unicode-bidi:isolate;border-radius:.15rem}",
        ".tokens .at{outline:2px solid currentColor;outline-offset:1px}",
    ]
    for step in range(1, len(STEPS) + 1):
        share = 12 + 14 * step
        rules.append(f".t{step}{{background:color-mix(in srgb,{worse} {share}%,transparent)}}")
        rules.append(
            f".u{step}{{background:color-mix(in srgb,{better} {share}%,transparent);"
            "text-decoration:underline dotted}"
        )
    return f"<style>{''.join(rules)}</style>"


def worst(pieces: Sequence[Sequence[str]], values: np.ndarray, count: int = 20) -> pd.DataFrame:
    """The tokens of the largest values, each with the words around it.

    Args:
        pieces: the scored tokens of every window.
        values: a number for each, `[windows, tokens]`.
        count: rows at most.
    """
    flat = np.where(np.isfinite(values), values, -np.inf).ravel()
    chosen = np.argpartition(-flat, min(count, flat.size - 1))[:count] if flat.size else []
    rows = []
    for place in sorted(chosen, key=lambda place: (-flat[place], place)):
        if flat[place] == -np.inf:
            break
        window, at = divmod(int(place), values.shape[1])
        row = pieces[window]
        before = "".join(map(drawn, row[max(0, at - _CONTEXT) : at]))
        after = "".join(map(drawn, row[at + 1 : at + 1 + _CONTEXT // 2]))
        rows.append(
            {
                "Value": float(flat[place]),
                "Before": before.replace("\n", " "),
                "Token": drawn(row[at]).replace("\n", ""),
                "After": after.replace("\n", " "),
                "Window": window + 1,
                "Place": at + 2,  # the first token of a window is predicted by nothing
            }
        )
    return pd.DataFrame(rows, columns=pd.Index(WORST))
