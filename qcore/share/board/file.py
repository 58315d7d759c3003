"""Write a board: the data, the page, the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cache.store import Outcomes
from qcore.errors import ShareError
from qcore.report.labels import Label
from qcore.report.report import Report
from qcore.share.board.data import board_data
from qcore.share.board.page import page
from qcore.share.bundle import place


@dataclass(frozen=True, slots=True)
class MadeBoard:
    """What a board came to: bytes of the file, its runs, and those that carry their tokens."""

    bytes: int
    runs: int
    with_tokens: int


def write_board(
    out: Path,
    reports: Sequence[Report],
    kept: Outcomes,
    labels: Mapping[str, Label],
    *,
    title: str = "",
    note: str = "",
    tokens: Sequence[str] | None = None,
    sources: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> MadeBoard:
    """Write a board of these runs; the arguments are `board_data`'s.

    Raises:
        ShareError, InvalidRecipe: as `board_data`; or a place that cannot be written.
        DiskFull: no room.
    """
    if out.exists() and not overwrite:
        raise ShareError(
            f"{out.name[:80]!a} exists already", remedy="name another file, or --force"
        )
    content, made = make_board(
        reports, kept, labels, title=title, note=note, tokens=tokens, sources=sources
    )
    place(out, content)
    return made


def make_board(
    reports: Sequence[Report],
    kept: Outcomes,
    labels: Mapping[str, Label],
    *,
    title: str = "",
    note: str = "",
    tokens: Sequence[str] | None = None,
    sources: Mapping[str, str] | None = None,
) -> tuple[bytes, MadeBoard]:
    """Make a board of these runs: the HTML, and what it came to. Arguments as `board_data`.

    Raises:
        ShareError, InvalidRecipe: as `board_data`.
    """
    data = board_data(reports, kept, labels, title=title, note=note, tokens=tokens, sources=sources)
    content = page(data).encode()
    return content, MadeBoard(len(content), len(reports), len(data["tokens"]["runs"]))
