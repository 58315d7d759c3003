"""The engine's parts that pages share, one of each per process.

Heavy modules are imported on first use: the first page must not wait for torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages._ui.runs.catalogue import Catalogue
from qcore.jobs.protocol import Backend
from qcore.machine.home import home
from qcore.recipe import Recipe
from qcore.report.library import Library

if TYPE_CHECKING:
    from cache.store import Cache
    from qcore.pipeline import Preview
    from qcore.pipeline.planning.history import History


def library() -> Library:
    """The finished reports."""
    return _library(home())


def catalogue() -> Catalogue:
    """The finished reports as a table."""
    return _catalogue(home())


def backend() -> Backend:
    """The job queue."""
    return _backend(home())


def cache() -> Cache:
    """The stages' results."""
    return _cache(home())


def preview(recipes: Sequence[Recipe]) -> Preview:
    """What a sweep would cost, before anything runs; asks no network."""
    from qcore import pipeline

    return pipeline.preview(recipes, cache(), history=_history(home()))


@st.cache_resource(show_spinner=False)
def _library(root: Path) -> Library:
    return Library(root)


@st.cache_resource(show_spinner=False)
def _history(root: Path) -> History:
    from qcore.pipeline.planning.history import History

    return History(_library(root))


@st.cache_resource(show_spinner=False)
def _catalogue(root: Path) -> Catalogue:
    return Catalogue(_library(root))


@st.cache_resource(show_spinner=False)
def _backend(root: Path) -> Backend:
    from qcore.jobs.local.backend import LocalBackend

    return LocalBackend(root)


@st.cache_resource(show_spinner=False)
def _cache(root: Path) -> Cache:
    from cache.store import Cache
    from qcore.machine.home import cache_limit

    return Cache(root / "cache", cache_limit())
