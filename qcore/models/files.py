"""Files that somebody else wrote: opened only where reading them can end.

A path may name a pipe that nobody writes to, a device without an end, or a file larger than the
memory. So a path is turned into one real path first (symbolic links resolved once, so that what is
checked is what is read), only regular files are opened, without waiting, and no more bytes are
read than the caller's limit: some files of /proc are regular, claim 0 bytes and go on.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from qcore.errors import BrokenCheckpoint, QuantscopeError
from qcore.serialization import whole

LARGEST_JSON = 32_000_000
"""Bytes of a config.json, a tokenizer_config.json or an index: real ones have 200 kB at most."""

LARGEST_TOKENIZER = 256_000_000
"""Bytes of one tokenizer file: the largest in use have 35 MB."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def real_path(
    name: str | Path, *, error: type[QuantscopeError] = BrokenCheckpoint, remedy: str
) -> Path:
    """The one absolute path behind `name`: `~` expanded, symbolic links followed.

    Raises:
        QuantscopeError: of the type `error`, for what can be no path: a NUL, half a UTF-16 pair, a
            part that is too long, a user who is not there, links that go round in circles.
    """
    shown = printable(str(name))
    try:
        path = Path(name).expanduser().resolve()
        os.fsencode(path)
        path.exists()  # raises where a part of the name is too long
    except (OSError, RuntimeError, ValueError) as problem:
        why = {ValueError: "it holds a NUL character", RuntimeError: "it has no such user or end"}
        said = getattr(problem, "strerror", None) or why.get(type(problem), "it is no file name")
        raise error(f"{shown} is no path here: {said}", remedy=remedy) from problem
    return path


def printable(text: str, limit: int = 200) -> str:
    """`text` for a message: no control characters, nothing that UTF-8 cannot hold, shortened."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[:limit] + "…"


def check_regular(
    path: Path,
    limit: int | None = None,
    *,
    error: type[QuantscopeError] = BrokenCheckpoint,
    remedy: str,
) -> os.stat_result:
    """The status of a regular file of at most `limit` bytes.

    Raises:
        QuantscopeError: of the type `error`, for anything else; says what it is.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as problem:
        raise _unreadable(path, problem, error, remedy) from problem
    _check(path, status, limit, error, remedy)
    return status


def read_regular(
    path: Path,
    limit: int,
    *,
    error: type[QuantscopeError] = BrokenCheckpoint,
    remedy: str,
) -> bytes:
    """The bytes of a regular file of at most `limit` bytes. Never waits for a writer.

    Raises:
        QuantscopeError: of the type `error`: it is not there, no regular file, larger, unreadable.
    """
    check_regular(path, limit, error=error, remedy=remedy)  # opening a device may already act
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            _check(path, os.fstat(descriptor), limit, error, remedy)
            data = file.read(limit + 1)
    except (OSError, ValueError) as problem:
        raise _unreadable(path, problem, error, remedy) from problem
    if len(data) > limit:
        raise _too_large(path, f"more than {limit}", limit, error)
    return data


def read_json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """The object in a JSON file; an empty one if the file may be left out and is.

    Raises:
        BrokenCheckpoint: it cannot be read, or holds something else.
    """
    if not path.exists() and not path.is_symlink():
        if optional:
            return {}
        raise BrokenCheckpoint(
            f"{printable(str(path.parent))} has no {path.name}",
            remedy="name a folder in Hugging Face layout",
        )
    data = read_regular(path, LARGEST_JSON, remedy="download it again")
    try:
        content = json.loads(data.decode("utf-8-sig"), parse_int=whole)
    except (ValueError, RecursionError) as error:
        raise BrokenCheckpoint(
            f"{path.name} in {printable(str(path.parent))} cannot be read: {str(error)[:200]}",
            remedy="download it again",
        ) from error
    if not isinstance(content, dict):
        raise BrokenCheckpoint(f"{path.name} is not an object", remedy="download it again")
    return content


def _check(
    path: Path,
    status: os.stat_result,
    limit: int | None,
    error: type[QuantscopeError],
    remedy: str,
) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = next((name for test, name in _KINDS if test(status.st_mode)), "no regular file")
        raise error(f"{printable(str(path))} is {what}", remedy=remedy)
    if limit is not None and status.st_size > limit:
        raise _too_large(path, str(status.st_size), limit, error)


def _too_large(path: Path, size: str, limit: int, error: type[QuantscopeError]) -> QuantscopeError:
    return error(
        f"{printable(str(path))} has {size} bytes, and at most {limit} are read",
        remedy="name a smaller file",
    )


def _unreadable(
    path: Path, problem: Exception, error: type[QuantscopeError], remedy: str
) -> QuantscopeError:
    said = getattr(problem, "strerror", None) or type(problem).__name__
    return error(f"{printable(str(path))} cannot be read: {said}", remedy=remedy)
