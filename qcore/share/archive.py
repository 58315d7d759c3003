"""Read a zip that anybody may have made: every claim is checked before it is believed.

Nothing is unpacked by name. Members have names from a fixed list, sizes and digests that the
manifest states, and a limit for all of them together that holds before the first byte is unpacked:
a bomb that unpacks to more is refused by what it claims, one that lies about its size by where its
bytes end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from qcore.errors import QuantscopeError, ShareError
from qcore.report.files import require_regular
from qcore.share.manifest import MANIFEST, NO_BUNDLE, Manifest

MOST_BYTES = 200_000_000
"""Of the file."""
MOST_UNPACKED = 1_000_000_000
"""Of all members together."""
MOST_MEMBERS = 10_000
LARGEST_MEMBER = 256 << 20
LARGEST_MANIFEST = 8 << 20
_CHUNK = 1 << 20
_DAMAGED = "ask for the bundle again: it was damaged on its way, or changed"


class Archive:
    """An open bundle whose outline has been checked; its members are checked as they are read.

    Attributes:
        manifest: what it says of itself.
        digest: SHA-256 of that, which tells bundles apart.
    """

    def __init__(self, file: BinaryIO):
        size = file.seek(0, os.SEEK_END)
        if size > MOST_BYTES:
            raise ShareError(
                f"the bundle has {size / 1e6:,.0f} MB, more than {MOST_BYTES / 1e6:,.0f}",
                remedy="bundle fewer runs at a time",
            )
        _check_end(file, size)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
            raise ShareError(f"this is no zip file: {str(error)[:80]}", remedy=NO_BUNDLE) from error
        entries = self._zip.infolist()
        _check_outline(entries)
        self._entries = {entry.filename: entry for entry in entries}
        if MANIFEST not in self._entries:
            raise ShareError(f"the zip has no {MANIFEST}", remedy=NO_BUNDLE)
        if self._entries[MANIFEST].file_size > LARGEST_MANIFEST:
            raise ShareError(
                f"{MANIFEST} claims {self._entries[MANIFEST].file_size / 1e6:,.0f} MB, more than "
                f"{LARGEST_MANIFEST / 1e6:,.0f}",
                remedy=NO_BUNDLE,
            )
        content = b"".join(self._chunks(MANIFEST, LARGEST_MANIFEST))
        self.digest = hashlib.sha256(content).hexdigest()
        self.manifest = Manifest.from_json(content)
        self._check_members()

    def read(self, name: str) -> bytes:
        """All bytes of a member, checked.

        Raises:
            ShareError: it is absent, or not what the manifest says.
        """
        member = self.manifest.members.get(name)
        if member is None:
            raise ShareError(f"the bundle has no {name}", remedy=_DAMAGED)
        content = b"".join(self._chunks(name, member.bytes))
        if len(content) != member.bytes or hashlib.sha256(content).hexdigest() != member.sha256:
            raise ShareError(f"{name} is not what {MANIFEST} says: its digest is", remedy=_DAMAGED)
        return content

    def _chunks(self, name: str, limit: int) -> Iterator[bytes]:
        read = 0
        try:
            with self._zip.open(self._entries[name]) as member:
                while chunk := member.read(_CHUNK):
                    read += len(chunk)
                    if read > limit:
                        break
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError) as error:
            raise ShareError(f"{name} is damaged: {str(error)[:80]}", remedy=_DAMAGED) from error
        except (NotImplementedError, RuntimeError) as error:
            raise ShareError(
                f"{name} cannot be read: {str(error)[:80]}", remedy=NO_BUNDLE
            ) from error
        if read > limit:
            raise ShareError(f"{name} has more than the {limit:,} bytes it claims", remedy=_DAMAGED)

    def _check_members(self) -> None:
        """Every member is listed, and every listed one is there with the size that it has."""
        stated = self.manifest.members
        missing = sorted(stated.keys() - self._entries.keys())
        more = sorted(self._entries.keys() - stated.keys() - {MANIFEST})
        if missing:
            raise ShareError(
                f"the bundle lacks {missing[0]}, and {len(missing)} of {len(stated)} members "
                "in all",
                remedy=_DAMAGED,
            )
        if more:
            raise ShareError(
                f"the bundle holds {more[0]}, which {MANIFEST} does not list", remedy=_DAMAGED
            )
        for name, member in stated.items():
            claimed = self._entries[name].file_size
            if claimed != member.bytes:
                raise ShareError(
                    f"{name} has {claimed:,} bytes, and {MANIFEST} says {member.bytes:,}",
                    remedy=_DAMAGED,
                )


def open_regular(path: Path) -> BinaryIO:
    """A file that somebody names, opened without waiting for what is none.

    Raises:
        ShareError: there is none, or it is a folder, a pipe, a device.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ShareError(
            f"{path.name[:80]!a} cannot be opened: {reason}", remedy=NO_BUNDLE
        ) from error
    try:
        require_regular(path.name, os.fstat(descriptor))
    except QuantscopeError as error:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise ShareError(error.fact, remedy=NO_BUNDLE) from error
    return open(descriptor, "rb")


def _check_end(file: BinaryIO, size: int) -> None:
    """Refuse a zip whose list of members is itself too long to be read. Raises ShareError."""
    file.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES))
    tail = file.read()
    file.seek(0)
    end = tail[-_END_BYTES:]
    if len(end) < _END_BYTES or not end.startswith(b"PK\x05\x06"):
        raise ShareError("this is no zip file, or its end is missing", remedy=NO_BUNDLE)
    (listed,) = struct.unpack_from("<L", end, 12)
    if listed > _LARGEST_LIST or tail[:-_END_BYTES].startswith(b"PK\x06\x07"):
        raise ShareError(
            f"the zip lists more than {MOST_MEMBERS:,} members",
            remedy="bundle fewer runs at a time",
        )


_END_BYTES, _LOCATOR_BYTES = 22, 20
"""Of the end record without a comment, and of what zips of more than 4 GB have before it."""
_LARGEST_LIST = 200 * MOST_MEMBERS


def _check_outline(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse names, kinds and sizes that no bundle has, before anything is unpacked."""
    if len(entries) > MOST_MEMBERS:
        raise ShareError(
            f"the zip has {len(entries):,} members, more than {MOST_MEMBERS:,}",
            remedy="bundle fewer runs at a time",
        )
    twice = [name for name, count in Counter(e.filename for e in entries).items() if count > 1]
    if twice:
        raise ShareError(f"the zip holds {twice[0][:80]!a} more than once", remedy=NO_BUNDLE)
    for entry in entries:
        reason = _fault(entry)
        if reason:
            raise ShareError(f"the zip holds {entry.filename[:80]!a}, {reason}", remedy=NO_BUNDLE)
    claimed = sum(entry.file_size for entry in entries)
    if claimed > MOST_UNPACKED:
        raise ShareError(
            f"the zip claims to unpack to {claimed / 1e9:,.1f} GB, more than "
            f"{MOST_UNPACKED / 1e9:,.0f}",
            remedy="bundle fewer runs at a time",
        )


def _fault(entry: zipfile.ZipInfo) -> str:
    """Why a bundle has no such member; empty where it may."""
    name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "a link"
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        return "an absolute path"
    if ".." in name.replace("\\", "/").split("/"):
        return "a path that leaves the folder"
    if entry.is_dir() or kind not in (0, stat.S_IFREG):
        return "which is no file"
    if entry.flag_bits & 1:
        return "which is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"packed by method {entry.compress_type}, which bundles are not"
    if entry.file_size > LARGEST_MEMBER:
        return f"which claims {entry.file_size / 1e9:,.1f} GB, more than {LARGEST_MEMBER / 1e9:.1f}"
    return ""
