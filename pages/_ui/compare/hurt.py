"""The Compare page's token side: statistics side by side, the text coloured, the worst tokens.

A fragment of its own: another window or measure draws this part of the page alone. One window of
text travels at a time, however many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages._ui import downloads, messages, palette, wording
from pages._ui.compare import charts, words
from pages._ui.compare.tokens import STEPS, markup, scale_of, style, worst
from pages._ui.figures.view import draw_figure
from pages._ui.tokens import again, engine, tables
from qcore.recipe.titles import short_title_of
from qcore.report.report import Report
from qcore.report.tokens import block

if TYPE_CHECKING:
    from qcore.analysis.tokens import RunTokens

_WINDOW = "compare.window"
_MARKED = "compare.marked"


@dataclass(frozen=True, slots=True)
class TokenMeasure:
    """A number of every token.

    Attributes:
        label: what it is called.
        unit: of it.
        signed: whether falls say something else than rises.
        needs_base: whether it is against the baseline.
    """

    label: str
    unit: str
    signed: bool
    needs_base: bool


MEASURES = {
    "loss": TokenMeasure("Loss against A", "nats", signed=True, needs_base=True),
    "kl": TokenMeasure("KL to the float model", "nats", signed=False, needs_base=False),
    "delta_p": TokenMeasure(
        "Fall of the true token's probability", "", signed=True, needs_base=False
    ),
}


def values_of(measure: str, run: RunTokens, base: RunTokens | None) -> np.ndarray | None:
    """A number of every token, larger where it hurts, `[windows, tokens]`; None without it.

    Against a baseline only the windows that both have count.
    """
    if measure == "loss":
        if base is None:
            return None
        shared = min(len(run.loss), len(base.loss))
        return run.loss[:shared] - base.loss[:shared]
    if measure == "kl":
        return run.kl
    return None if run.delta_p is None else -run.delta_p


def statistics(reports: Sequence[Report]) -> None:
    """Statistics over tokens side by side, and as they are pasted into issues."""
    measured = [
        (place, report, found)
        for place, report in enumerate(reports)
        if (found := engine.statistics(report)) is not None
    ]
    if not measured:
        return
    st.subheader("Token by token against the float model", anchor=False)
    table = tables.side_by_side([(words.LETTERS[place], found) for place, _, found in measured])
    st.dataframe(table, hide_index=True, height="content")
    st.caption(
        "± is one standard error that takes tokens as independent, as llama.cpp's does: it is "
        "too small for text. The intervals above are over windows."
    )
    blocks = {
        f"llama.cpp block of {words.LETTERS[place]}": (lambda found=found: block(found))
        for place, _, found in measured
    }
    named = [
        (f"{words.LETTERS[place]} {short_title_of(report.recipe)}", bits(report), found)
        for place, report, found in measured
    ]
    place = st.container(horizontal=True)
    downloads.table(place, table, "compare-tokens", more=blocks)
    downloads.table(
        place,
        lambda: tables.published(named),
        "compare-kl",
        "KL table as CSV",
        copy="Copy KL table",
    )


def bits(report: Report) -> float:
    """Bits per quantized weight, scales included."""
    return report.volume.bits_per_weight


def draw(reports: Sequence[Report]) -> None:
    """The text, each token coloured by what it costs; or the way to have the tokens."""
    texts = [report for report in reports if report.recipe.suffix is None]
    if not texts:
        return
    st.subheader("Where does it hurt?", anchor=False)
    found = {place: engine.tokens(report) for place, report in enumerate(reports)}
    lost = [place for place, tokens in found.items() if tokens is None]
    if lost:
        letters = [words.LETTERS[place] for place in lost]
        again.offer([reports[place] for place in lost], letters, "compare.again")
    known = {place: tokens for place, tokens in found.items() if tokens is not None}
    if known:
        _view(known)


@st.fragment
def _view(found: Mapping[int, RunTokens]) -> None:
    offered = {
        name: places for name in MEASURES if (places := [p for p in found if _has(name, p, found)])
    }
    if not offered:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        measure = st.segmented_control(
            "Colour tokens by",
            list(offered),
            default=next(iter(offered)),
            required=True,
            format_func=lambda name: MEASURES[name].label,
            key="hurt",
            bind="query-params",
        )
        places = offered.get(measure) or next(iter(offered.values()))
        letters = [words.LETTERS[place] for place in places]
        letter = st.segmented_control(
            "Run", letters, default=letters[0], required=True, key=f"compare.of.{measure}"
        )
    chosen = words.LETTERS.index(letter)
    run, about = found[chosen], MEASURES[measure]
    values = {p: v for p in places if (v := values_of(measure, found[p], found.get(0))) is not None}
    draw_figure(
        charts.histogram(list(values.items()), chosen, _axis(about), logarithmic=not about.signed),
        key="compare.tokens",
        name=f"tokens-{measure}",
        alt=f"How many tokens have which {about.label}",
    )
    _text(run, values[chosen], about, letter)
    _worst(run, values[chosen], about, letter)


def _has(measure: str, place: int, found: Mapping[int, RunTokens]) -> bool:
    if MEASURES[measure].needs_base and place == 0:
        return False
    return values_of(measure, found[place], found.get(0)) is not None


def _axis(about: TokenMeasure) -> str:
    return f"{about.label} ({about.unit} per token)" if about.unit else about.label


def _text(run: RunTokens, values: np.ndarray, about: TokenMeasure, letter: str) -> None:
    count = len(values)
    if st.session_state.get(_WINDOW, 1) > count:
        st.session_state[_WINDOW] = 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        window = st.number_input(
            f"Window, of {count}", 1, count, key=_WINDOW, on_change=_unmark, width=140
        )
        means = values.mean(axis=1)
        st.markdown(
            messages.escape(
                f"Mean here {words.signed(float(means[window - 1]))} {about.unit}; the worst is "
                f"window {1 + int(means.argmax())} with {words.signed(float(means.max()))}."
            )
        )
    marked = st.session_state.get(_MARKED)
    row = values[window - 1]
    st.html(style(palette.CLIPPED, palette.RUN_COLOURS[0]))
    st.html(
        markup(
            run.pieces[window - 1][1:],
            row,
            scale_of(values, signed=about.signed),
            about.unit,
            marked=marked[1] if marked and marked[0] == window else None,
        )
    )
    rise = "orange costs more, blue underlined costs less" if about.signed else "orange costs more"
    st.caption(
        f"{letter}'s {about.label[:1].lower()}{about.label[1:]}: {rise}; colours deepen at the "
        f"{', '.join(f'{100 * share:g}' for share in STEPS)} % quantiles of all "
        f"{wording.count(values.size, 'token')}. Rest on a token for its number."
    )


def _worst(run: RunTokens, values: np.ndarray, about: TokenMeasure, letter: str) -> None:
    table = worst([pieces[1:] for pieces in run.pieces[: len(values)]], values)
    st.markdown(f"**Where {letter} loses most**")
    st.session_state["compare.places"] = list(
        zip(table["Window"].tolist(), table["Place"].tolist(), strict=True)
    )
    st.dataframe(
        table,
        key="compare.worst",
        hide_index=True,
        height=320,
        on_select=_go_there,
        selection_mode="single-row",
        column_config={
            "Value": st.column_config.NumberColumn(_axis(about), format="%.3f"),
            "Before": st.column_config.TextColumn(width="medium", alignment="right"),
            "After": st.column_config.TextColumn(width="medium"),
        },
    )
    downloads.table(st.container(horizontal=True), table, "compare-worst")


def _go_there() -> None:
    """Show the window of the row that was selected, with the token framed."""
    rows = st.session_state["compare.worst"]["selection"]["rows"]
    places = st.session_state["compare.places"]
    if rows and rows[0] < len(places):
        window, place = places[rows[0]]
        st.session_state[_WINDOW] = window
        st.session_state[_MARKED] = (window, place - 2)
    else:
        _unmark()


def _unmark() -> None:
    st.session_state.pop(_MARKED, None)
