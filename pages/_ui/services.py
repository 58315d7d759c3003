"""The engine's parts that pages share, one of each per process, and the guard around them.

Heavy modules are imported on first use: the first page must not wait for torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages._ui.catalogue import Catalogue
from qcore.errors import QuantscopeError
from qcore.home import home
from qcore.jobs.protocol import Backend
from qcore.library import Library
from qcore.recipe import Recipe

if TYPE_CHECKING:
    from cache.store import Cache
    from qcore.pipeline import Preview
    from qcore.pipeline.history import History


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


@contextmanager
def guard() -> Iterator[None]:
    """Show an expected error as its sentence, where it happened, and go on with the page."""
    try:
        yield
    except QuantscopeError as error:
        st.error(sentence(error), icon=":material/error:")


def sentence(error: QuantscopeError) -> str:
    """Fact and remedy as two sentences, safe to show as Markdown."""
    fact, remedy = (escape(part.rstrip(".")) for part in (error.fact, error.remedy))
    return f"{fact[:1].upper()}{fact[1:]}. {remedy[:1].upper()}{remedy[1:]}."


def escape(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for sign in "\\`*_{}[]<>#$~|":
        text = text.replace(sign, f"\\{sign}")
    return text.replace(":", "\\:")


@st.cache_resource(show_spinner=False)
def _library(root: Path) -> Library:
    return Library(root)


@st.cache_resource(show_spinner=False)
def _history(root: Path) -> History:
    from qcore.pipeline.history import History

    return History(_library(root))


@st.cache_resource(show_spinner=False)
def _catalogue(root: Path) -> Catalogue:
    return Catalogue(_library(root))


@st.cache_resource(show_spinner=False)
def _backend(root: Path) -> Backend:
    from qcore.jobs.local import LocalBackend

    return LocalBackend(root)


@st.cache_resource(show_spinner=False)
def _cache(root: Path) -> Cache:
    from cache.store import Cache
    from qcore.home import cache_limit

    return Cache(root / "cache", cache_limit())
