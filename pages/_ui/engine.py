"""The engine's parts that pages share, one of each per process.

Heavy modules are imported on first use: the first page must not wait for torch. Folders and texts
that a person names may lie on a share that does not answer: they are read by `patiently`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pandas as pd
import streamlit as st

from pages._ui.runs.engine import RunTable
from qcore.errors import DataError, JobError
from qcore.jobs.protocol import Backend
from qcore.machine.home import home
from qcore.machine.patience import Patience
from qcore.recipe import ModelRef, Recipe
from qcore.report.deletion import Deletion
from qcore.report.index import Index
from qcore.report.labels import Labels
from qcore.report.library import Library

if TYPE_CHECKING:
    from cache.store import Cache
    from qcore.pipeline import Preview
    from qcore.pipeline.planning.history import History
    from qcore.pipeline.planning.schedule import Expected
    from qcore.share.shelf import Carried, Shelf

T = TypeVar("T")

PATIENCE_SECONDS = 10.0
"""How long a page waits for a folder or a text; hashing gigabytes for the first time takes longer.
"""


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


def shelf() -> Shelf:
    """The stages' results and what bundles brought, to be looked at."""
    from qcore.share.shelf import Shelf

    return Shelf(cache(), _carried(home()))


def recipe_of(name: str) -> tuple[Recipe, str]:
    """The recipe of a finished run or of a job, by its id, and what it is in words.

    Raises:
        QuantscopeError: there is neither.
    """
    try:
        job = backend().status(name)
    except JobError:
        found = index().get(name)
        return found.recipe, f"run {found.id}"
    return job.recipe, f"job {job.id}"


def patiently(what: str, key: Hashable, work: Callable[[], T]) -> T:
    """What `work` returns or raises, computed off the page's thread, as long as that is bearable.

    Args:
        what: is read, for the sentence.
        key: names the work, so that a page that asks again waits for what has begun.
        work: uses nothing of Streamlit.

    Raises:
        DataError: it has not ended by then; it goes on, and the next call may find it done.
    """
    try:
        return _patience().within(PATIENCE_SECONDS, key, work)
    except TimeoutError as error:
        raise DataError(
            f"{what} could not be read within {PATIENCE_SECONDS:g} s",
            remedy="wait and look again, since reading goes on; or, where its disk or share does "
            "not answer, name another",
        ) from error


def require_model(ref: ModelRef) -> None:
    """Raise ModelError where a model cannot be used; asks no network."""
    from qcore.models.loading import resolve

    root = home()
    patiently(f"model {ref.name}", (root, ref), lambda: resolve(ref, root, download=False))


def require_text(name: str) -> None:
    """Raise DataError where a text cannot be read."""
    from qcore.calibration.text import text_digest

    patiently(f"text {name}", name, lambda: text_digest(name))


def preview(recipes: Sequence[Recipe]) -> Preview:
    """What a sweep would cost, before anything runs; asks no network."""
    from qcore import pipeline

    store, history = cache(), _history(home())
    return patiently(
        "what the recipe names",
        (home(), *(recipe.digest for recipe in recipes)),
        lambda: pipeline.preview(recipes, store, history=history),
    )


def schedule(recipes: Sequence[Recipe]) -> list[tuple[Expected, ...]]:
    """What runs in this order would compute, and how long that takes; asks no network."""
    from qcore.pipeline.planning.schedule import schedule as foreseen

    store, history, root = cache(), _history(home()), home()
    return patiently(
        "what the queued recipes name",
        (root, "schedule", *(recipe.digest for recipe in recipes)),
        lambda: foreseen(recipes, store, root=root, history=history),
    )


@st.cache_resource(show_spinner=False)
def _patience() -> Patience:
    return Patience()


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


@st.cache_resource(show_spinner=False)
def _carried(root: Path) -> Carried:
    from qcore.share.shelf import Carried

    return Carried(_index(root).library.imports)
