"""The tokens of finished runs, read from the cache once.

What was evicted is looked for at every rerun, so that it shows as soon as it was measured again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import engine
from qcore.errors import CorruptEntry
from qcore.machine.home import home
from qcore.report.report import Report
from qcore.report.tokens import TokenStatistics

if TYPE_CHECKING:
    from qcore.analysis.tokens import RunTokens


def tokens(report: Report) -> RunTokens | None:
    """A run's tokens; None where the cache lacks any of them. They must not be changed."""
    from qcore.analysis.tokens import key_of

    try:
        return _tokens(home(), key_of(report), len(report.window_losses), report)
    except CorruptEntry:
        return None


def statistics(report: Report) -> TokenStatistics | None:
    """A run's statistics over tokens; None where there are none."""
    if report.tokens is not None:
        return report.tokens
    from qcore.analysis.tokens import statistics_of

    return statistics_of(report, engine.shelf())


def missing_stage(report: Report) -> str:
    """The stage that would bring a run's tokens."""
    from qcore.analysis.tokens import stage_of

    return stage_of(report)


def has_statistics(report: Report) -> bool:
    """Whether statistics can be made of a run."""
    if report.tokens is not None:
        return True
    from qcore.analysis.tokens import has_statistics

    return has_statistics(report)


@st.cache_resource(max_entries=24, show_spinner=False)
def _tokens(root: Path, key: str, windows: int, _report: Report) -> RunTokens:
    from qcore.analysis.tokens import tokens_of

    found = tokens_of(_report, engine.shelf())
    if found is None:  # an error is not kept
        raise CorruptEntry("the cache lacks the run's tokens", remedy="measure them again")
    return found
