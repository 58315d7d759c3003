"""Files that have a Report's name and are none, each made anew in a folder of reports."""

from __future__ import annotations

import ctypes
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qcore.recipe import Recipe
from qcore.report.library import LIMIT_BYTES
from tests.report.factories import report_of

NAME = "0" * 15 + "1"


def hostile(path: Path, kind: str) -> None:
    """Put something of that kind at `path`."""
    HOSTILE[kind](path)


def altered(**changes: object) -> str:
    """A Report's JSON under the name of the hostile file, with other values at the top."""
    data = json.loads(report_of(Recipe(), id=NAME).to_json())
    return json.dumps({**data, **changes})


def _written(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LIMIT_BYTES + 1)


def _layers(**changes: object) -> list[object]:
    (layer,) = json.loads(altered())["layers"]
    return [{**layer, **changes}]


HOSTILE: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a link to a report": lambda path: (
        path.with_suffix(".other").write_text(altered()),
        path.symlink_to(path.with_suffix(".other")),
    ),
    "a link that leads in a circle": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("/nowhere/at/all"),
    "a link to endless zeros": lambda path: path.symlink_to("/dev/zero"),
    "a named pipe": lambda path: os.mkfifo(path),
    "nothing at all": _written(""),
    "half a report": lambda path: path.write_text(altered()[:500]),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "another type": _written("[1, 2]"),
    "a deep nest": _written("[" * 100_000),
    "a deep nest inside": lambda path: path.write_text(
        altered().replace('"notes": [', '"notes": [' + "[" * 900 + "]" * 900 + ",")
    ),
    "more than any report": _huge,
    "a number of 5,000 digits": lambda path: path.write_text(
        altered().replace('"count": 4088', '"count": ' + "9" * 5000)
    ),
    "a number of 400 digits": lambda path: path.write_text(
        altered().replace('"count": 4088', '"count": ' + "9" * 400)
    ),
    "a time beyond all calendars": lambda path: path.write_text(altered(created=1e300)),
    "a time before all calendars": lambda path: path.write_text(altered(created=-1e9)),
    "no number": lambda path: path.write_text(
        altered().replace('"created": 1700000000', '"created": NaN')
    ),
    "an infinity": lambda path: path.write_text(
        altered().replace('"created": 1700000000', '"created": 1e999')
    ),
    "half of a character": lambda path: path.write_text(altered(notes=["\ud800"])),
    "another report's name": lambda path: path.write_text(altered(id="f" * 16)),
    "a block beyond all networks": lambda path: path.write_text(
        altered(layers=_layers(block=10**17))
    ),
    "a block below the first": lambda path: path.write_text(altered(layers=_layers(block=-1))),
    "losses whose mean is beyond all numbers": lambda path: path.write_text(
        altered(float_window_losses=[1.7e308, 1.7e308])
    ),
    "a newer schema": lambda path: path.write_text(altered(schema=2, surprise="new")),
}


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Give `folder` to an ordinary user, and be that user to the file system.

    Root reads and writes whatever a file's mode says. Linux lets one thread (and those that it
    starts) act on files as another user; elsewhere tests do not run as root.
    """
    if os.geteuid() != 0:
        yield
        return
    assert sys.platform == "linux"
    system = ctypes.CDLL(None)
    nobody = 65534
    for place in (folder, *folder.rglob("*")):
        os.chown(place, nobody, nobody, follow_symlinks=False)
    modes = {above: stat.S_IMODE(above.stat().st_mode) for above in folder.parents}
    closed = {above: mode for above, mode in modes.items() if not mode & 0o001}
    for above, mode in closed.items():
        above.chmod(mode | 0o011)
    system.setfsgid(nobody)
    system.setfsuid(nobody)
    try:
        assert system.setfsuid(nobody) == nobody, "the system has not let us become another user"
        yield
    finally:
        system.setfsuid(0)
        system.setfsgid(0)
        for above, mode in closed.items():
            above.chmod(mode)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing under `folder` can be written, made or removed."""
    places = [folder, *(place for place in folder.rglob("*") if not place.is_symlink())]
    modes = {place: place.stat().st_mode for place in places}
    for place in places:
        place.chmod(modes[place] & ~0o222)
    try:
        with as_nobody(folder):
            yield
    finally:
        for place in places:
            place.chmod(modes[place])
