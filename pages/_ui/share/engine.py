"""What the Share page asks of the engine: boards, bundles, imports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from pages._ui import engine
from qcore.machine.home import home
from qcore.report.imported import Origin


def board(runs: Sequence[str], *, title: str, note: str, tokens: Sequence[str]) -> bytes:
    """A board of these runs. Raises QuantscopeError: one cannot be read, or a text is too long."""
    from qcore.share.board.file import make_board  # waits for torch

    library = engine.index().library
    content, _ = make_board(
        [library.get(run) for run in runs],
        engine.shelf(),
        engine.labels().all(),
        title=title,
        note=note,
        tokens=list(tokens) or None,
        sources=library.sources(),
    )
    return content


def bundle(runs: Sequence[str], *, title: str) -> tuple[bytes, tuple[str, ...]]:
    """A bundle of these runs, and this machine's paths in it. Raises QuantscopeError likewise."""
    from qcore.share.bundle import make_bundle

    library = engine.index().library
    content, made = make_bundle(
        [library.get(run) for run in runs], engine.shelf(), engine.labels().all(), title=title
    )
    return content, made.paths


def take_in(file: BinaryIO, name: str) -> tuple[Origin, int, int]:
    """Import a bundle: where it came from, how many runs were here, how many with other numbers.

    Raises:
        ShareError, DiskFull: nothing of it is here then.
    """
    from qcore.share import intake

    taken = intake.take_in(file, home(), name=name)
    engine.index().refresh()
    return taken.origin, len(taken.own), len(taken.differing)


def remove(bundle: str) -> Origin:
    """Remove an import with its runs. Raises InvalidRecipe, DiskFull."""
    from qcore.share import intake

    gone = intake.remove(home(), bundle)
    engine.index().refresh()
    return gone


def imports() -> tuple[Origin, ...]:
    """All imports, the newest first."""
    return engine.index().library.imports.origins()
