"""Ways to spoil an SQLite file that leave it a file of the same size, or nearly."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

NO_TEXT = "CAST(X'6D80FF' AS TEXT)"
"""A cell that says it is text, and whose bytes are none."""
HEADERS = {
    "a newer file format": (18, 3),
    "a newer schema format": (47, 9),
    "another text": (59, 2),
}
"""Position and value of one byte of the file's header."""


def spoil_header(path: Path, how: str) -> None:
    """Change one byte of a database that nobody has open."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    at, value = HEADERS[how]
    data[at] = value
    path.write_bytes(data)


def rename_to_no_text(path: Path, table: str) -> None:
    """Call a table by a name that is no text."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        names = f"name = {NO_TEXT}, tbl_name = {NO_TEXT}"
        connection.execute(f"UPDATE sqlite_master SET {names} WHERE name = '{table}'")
