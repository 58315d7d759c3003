"""Which evaluation a page shows: one at a time, named in the address, never changed silently.

Only runs that were scored on the same tokens, of one network, can stand in one figure. Opened for
the first time a page shows the evaluation with the most runs; afterwards the one last used, on
whichever page, also when runs of another arrive. An address says it as `?evaluated=…`; one that
names runs alone opens theirs. How many runs were evaluated otherwise stands beside the figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from cache.digest import digest
from pages._ui import columns, state, wording
from pages._ui.runs import tables

_PAGE, _NAME = "evaluation", "evaluated"
_KEY, _WRITTEN = f"{_PAGE}.{_NAME}", f"kept.{_PAGE}.written"
_HELP = "Only runs that were scored on the same tokens can be compared."


@dataclass(frozen=True, slots=True)
class Scored:
    """Tokens that were scored, and the network that read them."""

    measured: str
    model: str
    runs: int

    @property
    def key(self) -> str:
        """Names it in an address, the same after a restart."""
        return digest([self.measured, self.model])[:8]

    @property
    def label(self) -> str:
        """`tiny – LAMBADA evaluation · 8 × 512 tokens (12)`."""
        return f"{self.model} – {self.measured} ({self.runs:,})"


def found_in(table: pd.DataFrame) -> list[Scored]:
    """The evaluations of a table's runs, that with the most runs first; of equals the newest."""
    counts = Counter(_places(table))
    return [Scored(*place, runs) for place, runs in counts.most_common()]


def choose(table: pd.DataFrame) -> pd.DataFrame:
    """Draw the choice of an evaluation, and of other models beside it; return their runs."""
    found = _settle(table)
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        chosen = _select(found)
    others = [e.model for e in found if e.measured == chosen.measured and e.model != chosen.model]
    models = [chosen.model]
    if others:
        models += right.multiselect(
            "Show beside it",
            others,
            key="beside",
            bind="query-params",
            help="Other models on the same text. Perplexities of models with different "
            "tokenizers do not compare.",
        )
    return tables.comparable(table, chosen.measured, models)


def current(table: pd.DataFrame) -> Scored:
    """The evaluation that is shown, where its choice stands elsewhere on the page."""
    return _kept(_settle(table))


def offer_others(table: pd.DataFrame, shown: int) -> None:
    """Say how many runs were evaluated otherwise, and let them be shown."""
    found = found_in(table)
    if len(found) > 1:
        with st.popover(otherwise(len(table) - shown), type="tertiary"):
            _select(found)


def otherwise(count: int) -> str:
    """`5 more runs were evaluated otherwise`; empty for none."""
    if count < 1:
        return ""
    return (
        f"{wording.count(count, 'more run')} {'was' if count == 1 else 'were'} evaluated otherwise"
    )


def _settle(table: pd.DataFrame) -> list[Scored]:
    """Settle which evaluation is shown: an address that was not written here counts first."""
    found = found_in(table)
    keys = [each.key for each in found]
    asked = st.query_params.get(_NAME) or _of_linked_run(table)
    if asked in keys and asked != st.session_state.get(_WRITTEN):
        st.session_state[_KEY] = asked
    state.settle(_PAGE, _NAME, keys)
    return found


def _of_linked_run(table: pd.DataFrame) -> str:
    """The evaluation of the runs that an address names alone; empty where there are none."""
    wanted = set(state.selected() if "runs" in st.query_params else [])
    runs = zip(columns.words(table, "id"), _places(table), strict=True)
    return next((Scored(*at, 0).key for run, at in runs if run in wanted), "")


def _select(found: Sequence[Scored]) -> Scored:
    by_key = {each.key: each for each in found}
    st.selectbox(
        "Evaluated on",
        list(by_key),
        key=_KEY,
        format_func=lambda key: by_key[key].label,
        help=_HELP,
    )
    return _kept(found)


def _kept(found: Sequence[Scored]) -> Scored:
    """The settled evaluation, remembered across pages and in the address."""
    key = st.session_state[_KEY]
    state.keep(_PAGE, **{_NAME: key})
    st.session_state[_WRITTEN] = key
    return next(each for each in found if each.key == key)


def _places(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(columns.words(table, "measured"), columns.words(table, "model"), strict=True))
