"""The library of Reports: each whole under its name, or not there."""

from __future__ import annotations

from pathlib import Path

from qcore.recipe import Recipe
from qcore.report.library import Library
from tests.report.factories import report_of

REPORTS = [report_of(Recipe(seed=seed)) for seed in range(6)]


def prepare(root: Path) -> None:
    """One Report that is to be removed."""
    Library(root).add(REPORTS[0])


def act(root: Path) -> None:
    """Add the others, one of them twice, and remove the first."""
    library = Library(root)
    for report in (*REPORTS[1:], REPORTS[2]):
        library.add(report)
    library.remove(REPORTS[0].id)


def check(root: Path) -> None:
    """Every name is a Report that reads, equal to what was added."""
    library = Library(root)
    known = {report.id: report for report in REPORTS}
    assert [library.read(name) for name in library.ids()] == [known[n] for n in library.ids()]
    assert len(library.reports()) == len(library.ids())


def finished(root: Path) -> None:
    """All but the removed one are there."""
    assert set(Library(root).ids()) == {report.id for report in REPORTS[1:]}
