"""What the Suffixes page asks of the engine: logs, facts, trainings, finished runs, forecasts."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import engine
from qcore.errors import DataError, DiskFull
from qcore.jobs.protocol import Backend, Job
from qcore.machine.home import home
from qcore.models.files import printable, real_path
from qcore.recipe import Recipe
from qcore.report.report import Report
from qcore.report.suffix import EpochReport
from qcore.report.summary import Summary

if TYPE_CHECKING:
    from qcore.pipeline.suffix.material import Material
    from qcore.pipeline.suffix.opened import OpenNetwork
    from qcore.suffix.facts import LogFacts
    from qcore.suffix.logs.cost import Cost
    from qcore.suffix.prefix import Continuations

KINDS = (".csv", ".csv.gz", ".xes", ".xes.gz")
_LOGS = "logs"
_JOBS = 200
"""Newest jobs among which a training is looked for."""


def kept_logs() -> list[Path]:
    """The logs that were uploaded, newest first."""
    found = [path for path in (home() / _LOGS).glob("*/*") if path.name.lower().endswith(KINDS)]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def keep_upload(name: str, content: bytes) -> Path:
    """Keep an uploaded log in the home, under the digest of its content.

    Raises:
        DataError: it is empty, or of a kind that is not read.
        DiskFull: it cannot be written.
    """
    safe = re.sub(r"[^\w.-]+", "_", name.rsplit("/", 1)[-1])[-80:].lstrip(".")
    if not safe.lower().endswith(KINDS):
        raise DataError(
            f"{name[:80]} is of no kind that is read", remedy=f"upload {', '.join(KINDS)}"
        )
    if not content:
        raise DataError(f"{name[:80]} is empty", remedy="upload a log with at least 10 cases")
    folder = home() / _LOGS / hashlib.sha256(content).hexdigest()[:12]
    path = folder / safe
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_name(f"{safe}.part")
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise DiskFull(
            f"the log cannot be kept: {error.strerror}", remedy="free some disk space"
        ) from error
    return path


def require_file(path: str) -> None:
    """Raise DataError where there is no file, or one of a kind that is not read."""
    if not path.lower().endswith(KINDS):
        raise DataError(
            f"{printable(path)} is of no kind that is read", remedy=f"name {', '.join(KINDS)}"
        )
    if not real_path(path, error=DataError, remedy="check the path").is_file():
        raise DataError(f"there is no event log at {printable(path)}", remedy="check the path")


def columns_of(path: str) -> list[str]:
    """The columns of a CSV log; none of an XES log. Raises DataError where there is no header."""
    from qcore.suffix.logs import columns

    return columns.columns(Path(path)) if ".csv" in path.lower() else []


def guessed(names: list[str]) -> tuple[str, ...]:
    """The likeliest columns of case, activity and time. Raises DataError as `guess`."""
    from qcore.suffix.logs.columns import guess

    return dataclasses.astuple(guess(names))


def cost(path: str) -> Cost | None:
    """What reading a large log takes; None for small ones."""
    from qcore.suffix.logs.cost import LARGE, reading_cost

    found = reading_cost(Path(path))
    return found if found.events >= LARGE else None


def facts(recipe: Recipe) -> LogFacts:
    """The facts of a recipe's log. Raises DataError where it cannot be read or learned from."""
    return _facts(_stamp(recipe), recipe)


def notes(recipe: Recipe) -> Sequence[str]:
    """What reading the log changed about it."""
    return material(recipe).log.notes


@st.cache_resource(max_entries=16, show_spinner=False)
def _facts(stamp: str, _recipe: Recipe) -> LogFacts:
    from qcore.suffix.facts import facts_of

    return facts_of(material(_recipe).log)


def material(recipe: Recipe) -> Material:
    """The recipe's cases, divided and encoded."""
    return _material(_stamp(recipe), recipe)


@st.cache_resource(max_entries=4, show_spinner=False)
def _material(stamp: str, _recipe: Recipe) -> Material:
    from qcore.pipeline.suffix.material import Material

    return Material(_recipe)


def training_key(recipe: Recipe) -> str:
    """Names the network that the recipe trains: equal for all that share it."""
    from qcore.pipeline import Keys, resolve_inputs

    return Keys(recipe, resolve_inputs(recipe, home())).key("train")


def losses(recipe: Recipe) -> tuple[EpochReport, ...]:
    """The epochs that the recipe's training has done so far."""
    from qcore.pipeline.suffix.training import losses_so_far

    return losses_so_far(home(), training_key(recipe))


def queue() -> Backend:
    """The job queue."""
    return engine.backend()


def finished(name: str) -> Report:
    """The finished run of that id. Raises QuantscopeError where there is none."""
    return engine.index().get(name)


def jobs_of(recipe: Recipe) -> list[Job]:
    """The newest jobs on the network that the recipe trains."""
    told = _trained(recipe)
    return [
        job
        for job in engine.backend().jobs(_JOBS)
        if job.recipe.suffix is not None and _trained(job.recipe) == told
    ]


def report_of(recipe: Recipe) -> Report | None:
    """The finished Report of a recipe; None before it has run."""
    from qcore.pipeline import Keys, resolve_inputs

    name = Keys(recipe, resolve_inputs(recipe, home())).report
    library = engine.index().library
    return library.get(name) if library.owns(name) else None


def runs_of(recipe: Recipe) -> list[Summary]:
    """The finished runs of the recipe's network, on its test cases, with its kind of answer."""
    key = training_key(recipe)
    return [
        run
        for run in engine.index().summaries()
        if run.recipe.suffix == recipe.suffix
        and run.model_digest == key
        and run.recipe.evaluation == recipe.evaluation
    ]


def forecast(
    recipe: Recipe, activities: Sequence[str], hours: Sequence[float]
) -> Continuations | None:
    """What may follow a prefix; None where the cache has lost the network.

    Args:
        recipe: of a finished run.
        activities: of the prefix.
        hours: between each event and the one before it; the first one's is passed over.

    Raises:
        DataError: too few events, or negative hours.
    """
    from qcore.suffix.prefix import forecast, running_case

    found = opened(recipe)
    if found is None:
        return None
    seconds, now = [], _MONDAY
    for at, wait in enumerate(hours):
        now += 3600 * wait if at else 0
        seconds.append(now)
    return forecast(
        found.network,
        *running_case(found.encoder, activities, seconds),
        found.longest,
        found.reach,
        tap=found.tap,
    )


_MONDAY = 1_717_401_600.0 - 16 * 3600
"""Monday 2024-06-03, 08:00: when an edited prefix begins."""


def vocabulary(recipe: Recipe) -> Sequence[str]:
    """The activities that a network knows, by number."""
    found = opened(recipe)
    return () if found is None else found.encoder.vocabulary


@st.cache_resource(show_spinner=False)
def best_possible() -> float:
    """The similarity that a predictor reaches that knows the built-in process."""
    from qcore.suffix.process import best_similarity

    return best_similarity()


def opened(recipe: Recipe) -> OpenNetwork | None:
    """The network of a recipe; None where the cache has lost it."""
    found = _opened(home(), recipe.digest, recipe)
    if found is None:
        _opened.clear()  # it may be computed again
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _opened(root: Path, digest: str, _recipe: Recipe) -> OpenNetwork | None:
    from qcore.pipeline.suffix.opened import open_network

    return open_network(_recipe, engine.cache(), root)


def _trained(recipe: Recipe) -> object:
    return recipe.model, dataclasses.replace(_part(recipe), answer="argmax"), recipe.seed


def _part(recipe: Recipe):
    assert recipe.suffix is not None
    return recipe.suffix


def _stamp(recipe: Recipe) -> str:
    """What of a recipe decides its cases, the files' contents included."""
    from qcore.pipeline import resolve_inputs

    found, part = resolve_inputs(recipe, home()), _part(recipe)
    asked = recipe.evaluation
    return repr((found.source.digest, part.split, part.fold, part.columns, asked))
