"""Make a bundle: finished runs in one zip, for another Quantscope and for other tools.

The file appears whole or not at all. Members lie in a fixed order with a fixed date, so the same
runs make the same members.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cache.digest import canonical_json
from cache.store import Outcomes
from qcore.errors import DiskFull, ShareError
from qcore.progress import Progress, silent
from qcore.report.labels import NOTHING, Label, one_line
from qcore.report.report import Report
from qcore.share.archive import MOST_BYTES
from qcore.share.contents import KINDS, records_of, scores_of
from qcore.share.manifest import (
    LABELS,
    LONGEST_TITLE,
    MANIFEST,
    RECORDS,
    RUNS_TABLE,
    SCHEMA,
    WINDOWS_TABLE,
    Manifest,
    Member,
    report_member,
    scores_member,
)
from qcore.share.tables import runs_table, windows_table

MOST_RUNS = 2_000
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class MadeBundle:
    """What a bundle came to.

    Attributes:
        bytes: of the file.
        runs: how many.
        with_scores: runs whose tokens it carries.
        paths: names of folders and files of this machine that its recipes hold.
    """

    bytes: int
    runs: int
    with_scores: int
    paths: tuple[str, ...]


def write_bundle(
    out: Path,
    reports: Sequence[Report],
    cache: Outcomes,
    labels: Mapping[str, Label],
    *,
    title: str = "",
    overwrite: bool = False,
) -> MadeBundle:
    """Write a bundle of these runs to a file; the arguments are `make_bundle`'s.

    Raises:
        ShareError, InvalidRecipe: as `make_bundle`; or a place that cannot be written.
        DiskFull: no room.
    """
    if out.exists() and not overwrite:
        raise ShareError(
            f"{out.name[:80]!a} exists already", remedy="name another file, or --force"
        )
    content, made = make_bundle(reports, cache, labels, title=title)
    place(out, content)
    return made


def make_bundle(
    reports: Sequence[Report],
    cache: Outcomes,
    labels: Mapping[str, Label],
    *,
    title: str = "",
    progress: Progress = silent,
) -> tuple[bytes, MadeBundle]:
    """Make a bundle of these runs: the zip, and what it came to.

    Args:
        reports: whole Reports, each once.
        cache: where what pages look at is taken from; what it has lost is left out.
        labels: what is said of runs, by id.
        title: what to call the bundle where it is imported.
        progress: told after every run.

    Raises:
        ShareError: no runs, too many, one twice, or more bytes than are read again.
        InvalidRecipe: the title is too long.
    """
    _check(reports)
    title = one_line(title, "the title", LONGEST_TITLE)
    members: dict[str, bytes] = {}
    records: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    scored = 0
    for done, report in enumerate(reports):
        progress(done, len(reports), report.id)
        members[report_member(report.id)] = report.to_json().encode()
        for kind, key, value in records_of(report, cache):
            records[kind][key] = value
        if content := _packed(report, cache):
            members[scores_member(report.id)] = content
            scored += 1
    members[LABELS] = canonical_json(_said(reports, labels)).encode()
    members[RECORDS] = json.dumps(records, ensure_ascii=False, allow_nan=False).encode()
    members[RUNS_TABLE] = runs_table(reports, labels)
    members[WINDOWS_TABLE] = windows_table(reports)
    manifest = Manifest(
        "quantscope bundle",
        SCHEMA,
        time.time(),
        quantscope_version(),
        title,
        tuple(report.id for report in reports),
        {
            name: Member(len(content), hashlib.sha256(content).hexdigest())
            for name, content in sorted(members.items())
        },
    )
    content = _zipped({MANIFEST: manifest.to_json().encode(), **dict(sorted(members.items()))})
    if len(content) > MOST_BYTES:
        raise ShareError(
            f"the bundle would have {len(content) / 1e6:,.0f} MB, more than "
            f"{MOST_BYTES / 1e6:,.0f}",
            remedy="bundle fewer runs at a time",
        )
    return content, MadeBundle(len(content), len(reports), scored, local_paths(reports))


def place(out: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        ShareError: its folder is none, or cannot be written.
        DiskFull: no room.
    """
    part = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, out)
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError) as error:
        raise ShareError(
            f"{out.name[:80]!a} cannot be written there: {str(error.strerror).lower()}",
            remedy="name a file in a folder that you may write to",
        ) from error
    except OSError as error:
        raise DiskFull(
            f"{out.name[:80]!a} of {len(content) / 1e6:,.1f} MB cannot be written: "
            f"{error.strerror}",
            remedy="free some disk space, or name a file on another disk",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def local_paths(reports: Sequence[Report]) -> tuple[str, ...]:
    """Names of this machine's folders and files in recipes: whoever gets them reads those."""
    found: dict[str, None] = {}
    for report in reports:
        recipe = report.recipe
        texts = [recipe.evaluation.text, recipe.calibration.text if recipe.calibration else ""]
        found |= {text.removeprefix("file:"): None for text in texts if text.startswith("file:")}
        if recipe.model.source in ("folder", "suffix") and "/" in recipe.model.name:
            found[recipe.model.name] = None
    return tuple(found)


def _check(reports: Sequence[Report]) -> None:
    if not reports:
        raise ShareError("no runs are chosen", remedy="name at least one")
    if len(reports) > MOST_RUNS:
        raise ShareError(
            f"{len(reports):,} runs are more than {MOST_RUNS:,}", remedy="make several bundles"
        )
    ids = [report.id for report in reports]
    twice = [run for run in ids if ids.count(run) > 1]
    if twice:
        raise ShareError(f"run {twice[0]} stands twice", remedy="name each run once")


def _packed(report: Report, cache: Outcomes) -> bytes:
    """A run's token scores as a safetensors file; empty where they are not kept."""
    from safetensors.torch import save

    tensors = scores_of(report, cache)
    return save(tensors) if tensors else b""


def _said(reports: Sequence[Report], labels: Mapping[str, Label]) -> dict[str, Any]:
    """What is said of the runs; pins and archives are the owner's own."""
    found = {}
    for report in reports:
        label = labels.get(report.id, NOTHING)
        if label.name or label.note or label.tags:
            found[report.id] = {"name": label.name, "note": label.note, "tags": list(label.tags)}
    return found


def _zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _FIRST_DAY)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def quantscope_version() -> str:
    """Quantscope's version; empty where it runs without being installed."""
    try:
        return version("quantscope")
    except PackageNotFoundError:
        return ""
