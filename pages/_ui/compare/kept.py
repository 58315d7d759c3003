"""What the Compare page asks of the engine, kept for the next click."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from qcore.explore import compare
from qcore.explore.compare import RunComparison
from qcore.machine.home import home
from qcore.report.report import Report


def compared(reports: Sequence[Report]) -> list[RunComparison]:
    """Every run against the first; resampled once."""
    marks = tuple((report.id, report.created) for report in reports)
    return _compared(home(), marks, reports)


@st.cache_resource(max_entries=32, show_spinner=False)
def _compared(
    root: Path, marks: tuple[tuple[str, float], ...], _reports: Sequence[Report]
) -> list[RunComparison]:
    return compare.compare(_reports)
