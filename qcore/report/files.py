"""Read a file that should be ours, and may be anything: a folder, a link, a pipe, gigabytes.

Whoever can write into the folder can put something else under a report's name, and one such file
must not hold up or end the reading of all others. Only regular files are opened, links are not
followed (they may point outside), opening never waits (a pipe would, for ever), and no more is read
than the limit.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from qcore.errors import CorruptEntry

REMEDY = "move it out of the folder"


def read_bytes(path: Path, limit: int) -> bytes:
    """All bytes of a regular file.

    Args:
        path: which may be anything.
        limit: the most bytes that the file may have.

    Raises:
        FileNotFoundError: there is none.
        CorruptEntry: it is no regular file, cannot be opened, or is too large.
    """
    try:
        require_regular(path.name, os.lstat(path))
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error
    with open(descriptor, "rb") as file:
        size = require_regular(path.name, os.fstat(descriptor)).st_size  # it may have been swapped
        if size > limit:
            raise CorruptEntry(
                f"{path.name} has {size / 1e6:,.0f} MB, more than {limit / 1e6:,.0f}", remedy=REMEDY
            )
        try:
            return file.read(limit)
        except OSError as error:
            raise _unreadable(path, error) from error


def require_regular(name: str, status: os.stat_result) -> os.stat_result:
    """The status of a regular file.

    Raises:
        CorruptEntry: it is of another kind; says of which.
    """
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        return status
    what = _KINDS.get(kind, "no regular file")
    raise CorruptEntry(f"{name} is {what}, where a file should be", remedy=REMEDY)


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _unreadable(path: Path, error: OSError) -> CorruptEntry:
    denied = error.errno in (errno.EACCES, errno.EPERM)
    return CorruptEntry(
        f"{path.name} cannot be opened: {(error.strerror or str(error)).lower()}",
        remedy="make it readable, or move it out of the folder" if denied else REMEDY,
    )
