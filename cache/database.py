"""What an error of SQLite says of its file, and how to read texts that are none.

A spoilt file answers in many voices: as no database, as a malformed schema, as a format that is not
supported, as a column that is not there, as a constraint that nobody here made, as bytes that
Python cannot decode. Each caller has its own words and remedies; which of few troubles it is, is
decided here once, so that a damaged file is never called a full disk.
"""

from __future__ import annotations

import os
import sqlite3
from enum import Enum
from pathlib import Path

ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What using a connection may raise, whatever lies in its file."""


class Trouble(Enum):
    """Whose trouble an error is."""

    DAMAGED = "the file is no sound database"
    FOREIGN = "it is one, but not what our statements expect"
    BUSY = "others use it"
    FULL = "no more can be written"
    READONLY = "it cannot be opened or written"
    OURS = "the library was used wrongly"


def trouble(error: Exception, path: Path) -> Trouble:
    """What one of `ERRORS` means for the database in `path`."""
    if isinstance(error, UnicodeDecodeError):  # SQLite's message quotes what is no text
        return Trouble.DAMAGED
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_READONLY and os.access(path, os.W_OK):  # its header says so, falsely
        return Trouble.DAMAGED
    code &= 0xFF
    if code == sqlite3.SQLITE_ERROR and "unsupported file format" in str(error):
        return Trouble.DAMAGED
    if code == sqlite3.SQLITE_ERROR and "syntax error" in str(error):
        return Trouble.OURS
    if not code and "decode to UTF-8" in str(error):  # raised by Python's module, without a code
        return Trouble.DAMAGED
    return _TROUBLES.get(code, Trouble.OURS)


def text(data: bytes) -> str:
    """A cell's text; bytes that are no UTF-8 are shown as such and cost no other row.

    For `Connection.text_factory`.
    """
    return data.decode("utf-8", "replace")


_TROUBLES = {
    sqlite3.SQLITE_CORRUPT: Trouble.DAMAGED,
    sqlite3.SQLITE_NOTADB: Trouble.DAMAGED,
    sqlite3.SQLITE_FORMAT: Trouble.DAMAGED,
    sqlite3.SQLITE_TOOBIG: Trouble.DAMAGED,
    sqlite3.SQLITE_ERROR: Trouble.FOREIGN,
    sqlite3.SQLITE_CONSTRAINT: Trouble.FOREIGN,
    sqlite3.SQLITE_MISMATCH: Trouble.FOREIGN,
    sqlite3.SQLITE_SCHEMA: Trouble.FOREIGN,
    sqlite3.SQLITE_BUSY: Trouble.BUSY,
    sqlite3.SQLITE_LOCKED: Trouble.BUSY,
    sqlite3.SQLITE_PROTOCOL: Trouble.BUSY,
    sqlite3.SQLITE_FULL: Trouble.FULL,
    sqlite3.SQLITE_IOERR: Trouble.FULL,
    sqlite3.SQLITE_NOMEM: Trouble.FULL,
    sqlite3.SQLITE_READONLY: Trouble.READONLY,
    sqlite3.SQLITE_CANTOPEN: Trouble.READONLY,
    sqlite3.SQLITE_PERM: Trouble.READONLY,
    sqlite3.SQLITE_AUTH: Trouble.READONLY,
}
