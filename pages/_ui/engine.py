"""The engine's parts that pages share, one of each per process.

Heavy modules are imported on first use: the first page must not wait for torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages._ui.runs.engine import RunTable
from qcore.jobs.protocol import Backend
from qcore.machine.home import home
from qcore.recipe import ModelRef, Recipe
from qcore.report.deletion import Deletion
from qcore.report.index import Index
from qcore.report.labels import Labels
from qcore.report.library import Library

if TYPE_CHECKING:
    from cache.store import Cache
    from qcore.pipeline import Preview
    from qcore.pipeline.planning.history import History


def index() -> Index:
    """What is known of every finished report, each read once."""
    return _index(home())


def runs(*, archived: bool = False) -> pd.DataFrame:
    """The finished runs as a table, newest first, archived ones if asked for; not to be written."""
    return run_table().table(archived=archived)


def run_table() -> RunTable:
    """What the table of runs is made of, and when it has changed."""
    return _runs(home())


def labels() -> Labels:
    """What is said of runs: names, tags, notes."""
    return _labels(home())


def deletion() -> Deletion:
    """What deletes runs, and brings them back."""
    return Deletion(index().library, labels())


def backend() -> Backend:
    """The job queue."""
    return _backend(home())


def cache() -> Cache:
    """The stages' results."""
    return _cache(home())


def require_model(ref: ModelRef) -> None:
    """Raise ModelError where a model cannot be used; asks no network."""
    from qcore.models.loading import resolve

    resolve(ref, home(), download=False)


def require_text(name: str) -> None:
    """Raise DataError where a text cannot be read."""
    from qcore.calibration.text import text_digest

    text_digest(name)


def preview(recipes: Sequence[Recipe]) -> Preview:
    """What a sweep would cost, before anything runs; asks no network."""
    from qcore import pipeline

    return pipeline.preview(recipes, cache(), history=_history(home()))


@st.cache_resource(show_spinner=False)
def _history(root: Path) -> History:
    from qcore.pipeline.planning.history import History

    return History(_index(root))


@st.cache_resource(show_spinner=False)
def _index(root: Path) -> Index:
    return Index(Library(root))


@st.cache_resource(show_spinner=False)
def _runs(root: Path) -> RunTable:
    return RunTable(_index(root), _labels(root))


@st.cache_resource(show_spinner=False)
def _labels(root: Path) -> Labels:
    return Labels(root)


@st.cache_resource(show_spinner=False)
def _backend(root: Path) -> Backend:
    from qcore.jobs.local.backend import LocalBackend

    return LocalBackend(root)


@st.cache_resource(show_spinner=False)
def _cache(root: Path) -> Cache:
    from cache.store import Cache
    from qcore.machine.home import cache_limit

    return Cache(root / "cache", cache_limit())
