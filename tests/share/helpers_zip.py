"""Bundles that somebody tampered with."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path


def members_of(path: Path) -> dict[str, bytes]:
    """A bundle's members by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: Mapping[str, bytes], *, links: tuple[str, ...] = ()) -> bytes:
    """A zip of these members; those in `links` are symbolic links."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o120777 if name in links else 0o100644) << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def tampered(path: Path, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """A bundle after `change` to its members, its manifest as it was."""
    members = members_of(path)
    change(members)
    return zipped(members)


def resealed(path: Path, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """A bundle after `change`, with a manifest that states the new sizes and digests."""
    members = members_of(path)
    change(members)
    manifest = json.loads(members["bundle.json"])
    manifest["members"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in members.items()
        if name != "bundle.json"
    }
    members["bundle.json"] = json.dumps(manifest).encode()
    return zipped(members)
