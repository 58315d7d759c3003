"""The summaries on disk: one line for each, so that a start does not read every Report.

    SEAL {"name":"0123456789abcdef","size":51910,"modified":…,"run":{…}}

The file is a cache beside the reports. It may be deleted at any time, and it serves the right
summary or none: the seal is the SHA-256 of the version and the line's text, so a line that was
damaged, torn, or written by another version is no line; size and time must be those of the
Report's file, so a Report that was rewritten is read again.

Lines were chosen over a database because nothing here needs one. A batch of lines is appended in
one write, which the system keeps whole, so any number of processes may append at once and none
waits for another; a killed writer leaves at most a line without a seal, and a full disk or a
read-only folder costs only the time of the next start. When most lines say nothing of use any
more, the file is written anew and replaced in one step.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from cache.digest import canonical_json, digest_bytes
from qcore.errors import CorruptEntry, QuantscopeError
from qcore.report.files import read_bytes, require_regular
from qcore.report.library import Mark
from qcore.report.summary import Summary
from qcore.serialization import from_plain, to_plain

FILE = "index.jsonl"
VERSION = 1
"""Raised when a Summary changes."""

LIMIT_BYTES = 1 << 29
_SEAL = 32
_SLACK = 200

Rows = dict[str, tuple[Mark, Summary]]


class KeptSummaries:
    """The file under `root`. Losing it, or not being able to write it, is no error."""

    def __init__(self, root: Path):
        self._path = root / FILE

    def read(self, marks: Mapping[str, Mark]) -> Rows:
        """The summaries of these files, as far as they are kept and still hold, by id.

        Whoever reads also tidies up: a file most of whose lines are stale is written anew.
        """
        try:
            content = read_bytes(self._path, LIMIT_BYTES)
        except FileNotFoundError:
            return {}
        except CorruptEntry:
            self._clear()
            return {}
        found: Rows = {}
        lines = [line for line in content.split(b"\n") if line]
        texts: dict[str, bytes] = {}
        for line in lines:
            with contextlib.suppress(QuantscopeError, ValueError, TypeError, LookupError):
                name, mark, run = _unsealed(line)
                if name not in found and _same_file(mark, marks.get(name)):
                    found[name] = (mark, from_plain(Summary, run, name))
                    texts[name] = line
        if len(lines) > 2 * len(texts) + _SLACK:
            self._replace(texts.values())
        return found

    def add(self, rows: Rows) -> None:
        """Keep these."""
        lines = [_sealed(name, mark, run) for name, (mark, run) in rows.items()]
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        with contextlib.suppress(OSError, CorruptEntry):
            descriptor = os.open(self._path, flags | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb", buffering=0) as file:
                require_regular(FILE, os.fstat(descriptor))
                # What a killed writer has left of a line must not become part of ours.
                file.write(b"\n" + b"\n".join(lines) + b"\n")

    def _replace(self, lines: Iterable[bytes]) -> None:
        part = self._path.with_name(f"{FILE}.{secrets.token_hex(4)}.part")
        with contextlib.suppress(OSError):
            try:
                part.write_bytes(b"\n".join([*lines, b""]))
                os.replace(part, self._path)
            finally:
                part.unlink(missing_ok=True)

    def _clear(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()


def _same_file(mark: Mark, now: Mark | None) -> bool:
    """Whether a file has not been written since; a new name or mode changes only `changed`."""
    return now is not None and (mark.size, mark.modified) == (now.size, now.modified)


def _sealed(name: str, mark: Mark, run: Summary) -> bytes:
    row = {"name": name, "size": mark.size, "modified": mark.modified, "run": to_plain(run)}
    text = canonical_json(row).encode()
    return _seal(text) + b" " + text


def _unsealed(line: bytes) -> tuple[str, Mark, object]:
    text = line[_SEAL + 1 :]
    if line[:_SEAL] != _seal(text):
        raise ValueError
    row = json.loads(text)
    return row["name"], Mark(row["size"], row["modified"], 0), row["run"]


def _seal(text: bytes) -> bytes:
    return digest_bytes(b"quantscope summary %d %s" % (VERSION, text))[:_SEAL].encode()
