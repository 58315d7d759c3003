"""The index of Reports: what it serves is right, whatever became of its file."""

from __future__ import annotations

from pathlib import Path

from qcore.recipe import Recipe
from qcore.report import kept
from qcore.report.index import Index
from qcore.report.library import Library
from qcore.report.summary import read_summary
from tests.report.factories import report_of

REPORTS = [report_of(Recipe(seed=seed), perplexity=30.0 + seed) for seed in range(6)]


def prepare(root: Path) -> None:
    """Reports that no index knows yet, but for stale lines enough to be tidied away."""
    library = Library(root)
    for report in REPORTS[:4]:
        library.add(report)
    (root / kept.FILE).write_bytes(b"stale\n" * (kept._SLACK + 50))


def act(root: Path) -> None:
    """Read all, with two more that come later."""
    index = Index(Library(root))
    index.refresh()
    for report in REPORTS[4:]:
        index.library.add(report)
        index.refresh()
    Index(Library(root)).refresh()


def check(root: Path) -> None:
    """Each Report has the summary that it would have without an index."""
    library = Library(root)
    index = Index(library)
    index.refresh()
    right = {name: read_summary(library, name) for name in library.ids()}
    assert {summary.id: summary for summary in index.summaries()} == right
    assert not index.problems


def finished(root: Path) -> None:
    """Now it knows all."""
    check(root)
    assert len(Library(root).ids()) == len(REPORTS)
