"""`run`, `sweep` and `library`: what a notebook needs, with the dashboard's home and cache.

    import qcore
    report = qcore.run(qcore.Recipe.from_dict({"weights": {"format": "int4", "group": 128}}))
    report.metric("perplexity").value

Progress goes to standard error. A run that was finished before is read from the library.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from qcore.api.bars import Bars
from qcore.api.engine import Engine
from qcore.errors import JobError, QuantscopeError
from qcore.machine.home import home
from qcore.progress import Emit
from qcore.recipe import Recipe
from qcore.recipe.sweep import expand
from qcore.recipe.titles import title_of
from qcore.report.library import Library
from qcore.report.report import Report


def run(recipe: Recipe, *, device: str | None = None, progress: bool = True) -> Report:
    """Run one recipe, in this process.

    Args:
        recipe: what to run.
        device: `cpu`, `cuda:0` and so on; None is the first GPU, else the CPU.
        progress: show it on standard error.

    Raises:
        QuantscopeError: the run failed; the message says why and what to do.
    """
    return _run(Engine.at_home(device, note=_note), recipe, "", progress)


def sweep(
    recipes: Mapping[str, Any] | Sequence[Recipe],
    *,
    device: str | None = None,
    progress: bool = True,
) -> list[Report]:
    """Run several recipes one after the other; the loaded network is kept between them.

    Args:
        recipes: recipes, or one recipe as a dictionary with lists in it: every combination.
        device: as for `run`.
        progress: as for `run`.

    Returns:
        The Reports, in the order of the recipes.

    Raises:
        JobError: some failed. All others were run all the same; run again they come from the
            library.
    """
    many = expand(dict(recipes)) if isinstance(recipes, Mapping) else list(recipes)
    engine = Engine.at_home(device, note=_note)
    reports: list[Report] = []
    failures: list[QuantscopeError] = []
    for number, recipe in enumerate(many, start=1):
        prefix = f"{number}/{len(many)} {title_of(recipe)}: "
        try:
            reports.append(_run(engine, recipe, prefix, progress))
        except QuantscopeError as error:
            failures.append(error)
            _note(f"{prefix}{error}")
    if failures:
        raise JobError(
            f"{len(failures)} of {len(many)} runs failed, the first because {failures[0].fact}",
            remedy=f"{failures[0].remedy}; the {len(reports)} finished ones are in the library",
        ) from failures[0]
    return reports


def library() -> Library:
    """Every finished run of the user's home."""
    return Library(home())


def _run(engine: Engine, recipe: Recipe, prefix: str, progress: bool) -> Report:
    with Bars(prefix) as bars:
        emit: Emit = bars.show if progress else _ignore
        return engine.run(recipe, emit)


def _ignore(event: object) -> None:
    """Take an event that nobody wants to see."""


def _note(sentence: str) -> None:
    print(f"note: {sentence}", file=sys.stderr)
