"""Take a bundle in: all of it, or nothing of it.

Everything is read and checked before anything appears. Then the import's folder takes its name in
one step (`qcore.report.imported`), and what was said of its runs is said here, too, where nothing
is said of them yet.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cache.digest import canonical_json
from qcore.errors import DiskFull, QuantscopeError, ShareError
from qcore.progress import Progress, silent
from qcore.report.imported import ARRAYS, FOLDER, ORIGIN, RECORDS, REPORTS, Imports, Origin
from qcore.report.labels import (
    LONGEST_NAME,
    LONGEST_NOTE,
    LONGEST_TAG,
    MOST_TAGS,
    NOTHING,
    Labels,
    one_line,
)
from qcore.report.library import LIMIT_BYTES, Library
from qcore.report.report import Report
from qcore.serialization import from_plain, parse_json, to_plain
from qcore.share.archive import Archive
from qcore.share.contents import KINDS, blocks_seen, check_record, check_scores, keys_of_run
from qcore.share.manifest import (
    LABELS,
    LONGEST_TITLE,
    RUNS_TABLE,
    WINDOWS_TABLE,
    report_member,
    scores_member,
)

KEYS = "keys.json"
"""In an import's folder: `scores`, the key of a window's scores → the run and the window; and
`blocks`, the keys of captured blocks of which only the measures came along."""

_PART_SECONDS = 3600
_PART = re.compile(r"\.[\w-]+\.(?:part|gone)")
_ANOTHER = "ask for the bundle again: it was damaged on its way, or changed"


@dataclass(frozen=True, slots=True)
class SharedLabel:
    """What a bundle says of one run."""

    name: str
    note: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TakenBundle:
    """What an import came to.

    Attributes:
        origin: the import.
        own: runs of it that were measured here, too; those measured here are shown.
        differing: those of them whose numbers are not the same.
    """

    origin: Origin
    own: tuple[str, ...]
    differing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Content:
    reports: list[Report]
    labels: dict[str, SharedLabel]
    records: dict[str, Any]
    scores: dict[str, bytes]


def take_in(
    file: BinaryIO, root: Path, *, name: str = "", progress: Progress = silent
) -> TakenBundle:
    """Import a bundle into the home `root`.

    Args:
        file: of the bundle, seekable.
        root: the home.
        name: of the file; folders in it are left out.
        progress: told after every run.

    Raises:
        ShareError: it is no bundle, damaged, larger than a limit, of a newer schema, or here
            already. Nothing is then left of it.
        DiskFull: no room; likewise.
    """
    archive = Archive(file)
    imports = Imports(root)
    bundle = archive.digest[:16]
    if (root / FOLDER / bundle).exists():
        raise ShareError(
            f"this bundle is here already, as import {bundle}",
            remedy=f"look at it, or remove it with `python -m qcore import --remove {bundle}`",
        )
    content = _checked(archive, progress)
    origin = Origin(
        bundle,
        one_line(archive.manifest.title, "the title", LONGEST_TITLE),
        one_line(Path(name).name[-80:], "the file's name", 80),
        archive.manifest.made,
        time.time(),
        archive.manifest.runs,
        archive.manifest.example,
    )
    _keep(root, origin, content)
    try:
        _say(root, content.labels)
    except QuantscopeError:
        imports.remove(bundle)
        raise
    return TakenBundle(origin, *_met(root, content.reports))


def remove(root: Path, bundle: str) -> Origin:
    """Remove an import with all that came with it, and what is said of runs that go with it.

    Raises:
        InvalidRecipe: there is no such import.
        DiskFull: it cannot be removed.
    """
    origin = Imports(root).remove(bundle)
    library = Library(root)
    Labels(root).forget([run for run in origin.runs if not library.has(run)])
    return origin


def _checked(archive: Archive, progress: Progress) -> _Content:
    runs = archive.manifest.runs
    reports, scores = [], {}
    for done, run in enumerate(runs):
        progress(done, len(runs), run)
        report = _report(archive, run)
        reports.append(report)
        if scores_member(run) in archive.manifest.members:
            scores[run] = _scores(archive, report)
    for table in (RUNS_TABLE, WINDOWS_TABLE):
        if table in archive.manifest.members:
            archive.read(table)  # for its digest: a bundle is whole or refused
    return _Content(reports, _labels(archive), _records(archive, reports), scores)


def _report(archive: Archive, run: str) -> Report:
    name = report_member(run)
    if archive.manifest.members[name].bytes > LIMIT_BYTES:
        raise ShareError(
            f"{name} has more than {LIMIT_BYTES / 1e6:,.0f} MB, as no Report has", remedy=_ANOTHER
        )
    try:
        report = Report.from_json(archive.read(name).decode())
        report.to_json()
    except ShareError:
        raise
    except QuantscopeError as error:
        raise ShareError(f"{name} is no Report: {error.fact}", remedy=error.remedy) from error
    except Exception as error:  # whatever a file can cause is that file's fault
        raise ShareError(
            f"{name} is no Report: {type(error).__name__}: {str(error)[:80]}", remedy=_ANOTHER
        ) from error
    if report.id != run:
        raise ShareError(f"{name} holds the Report {report.id[:16]!a}", remedy=_ANOTHER)
    return report


def _scores(archive: Archive, report: Report) -> bytes:
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = archive.read(scores_member(report.id))
    try:
        check_scores(report, load(content))
    except SafetensorError as error:
        raise ShareError(
            f"{scores_member(report.id)} is no safetensors file: {str(error)[:80]}",
            remedy=_ANOTHER,
        ) from error
    except QuantscopeError as error:
        raise ShareError(error.fact, remedy=_ANOTHER) from error
    return content


def _labels(archive: Archive) -> dict[str, SharedLabel]:
    if LABELS not in archive.manifest.members:
        return {}
    try:
        data = parse_json(archive.read(LABELS).decode())
        found = from_plain(_Said, {"of": data}, "labels").of
        for label in found.values():
            one_line(label.name, "a name", LONGEST_NAME)
            one_line(label.note, "a note", LONGEST_NOTE)
            for tag in label.tags:
                one_line(tag, "a tag", LONGEST_TAG)
    except (QuantscopeError, UnicodeDecodeError) as error:
        fact = error.fact if isinstance(error, QuantscopeError) else str(error)
        raise ShareError(f"{LABELS} is damaged: {fact}", remedy=_ANOTHER) from error
    strange = sorted(found.keys() - set(archive.manifest.runs))
    crowded = [run for run, label in found.items() if len(label.tags) > MOST_TAGS]
    if strange or crowded:
        what = f"speaks of {strange[0][:40]!a}" if strange else f"has too many tags of {crowded[0]}"
        raise ShareError(f"{LABELS} {what}", remedy=_ANOTHER)
    return found


@dataclass(frozen=True, slots=True)
class _Said:
    of: dict[str, SharedLabel]


def _records(archive: Archive, reports: list[Report]) -> dict[str, Any]:
    """The records under keys that follow from the Reports, each of its kind."""
    if RECORDS not in archive.manifest.members:
        return {}
    try:
        data = parse_json(archive.read(RECORDS).decode())
    except (QuantscopeError, UnicodeDecodeError) as error:
        raise ShareError(f"{RECORDS} is no JSON: {error}", remedy=_ANOTHER) from error
    if not isinstance(data, dict) or not all(isinstance(part, dict) for part in data.values()):
        raise ShareError(f"{RECORDS} is no table of records", remedy=_ANOTHER)
    known: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for report in reports:
        for kind, keys in keys_of_run(report).records.items():
            known[kind].update(keys)
    found: dict[str, Any] = {}
    for kind, part in data.items():
        for key, value in part.items():
            if key not in known.get(kind, ()):
                raise ShareError(
                    f"{RECORDS} holds a record {kind[:20]!a} that none of its runs names",
                    remedy=_ANOTHER,
                )
            check_record(kind, value)
            found[key] = value
    return found


def _keep(root: Path, origin: Origin, content: _Content) -> None:
    """Write the import's folder beside its place, then let it take that place."""
    folder = root / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(folder)
        part = Path(tempfile.mkdtemp(prefix=f".{origin.bundle}.", suffix=".part", dir=folder))
    except OSError as error:
        raise _cannot_write(error) from error
    try:
        for name in (REPORTS, ARRAYS):
            (part / name).mkdir(mode=0o700)
        tokens: dict[str, list[Any]] = {}
        blocks: dict[str, None] = {}
        for report in content.reports:
            (part / REPORTS / f"{report.id}.json").write_text(report.to_json(), encoding="utf-8")
            blocks |= dict.fromkeys(blocks_seen(report, content.records))
            if report.id in content.scores:
                scored = content.scores[report.id]
                (part / ARRAYS / f"{report.id}.safetensors").write_bytes(scored)
                tokens |= {
                    key: [report.id, window]
                    for window, key in enumerate(keys_of_run(report).scores)
                }
        keys = {"scores": tokens, "blocks": list(blocks)}
        for name, value in ((RECORDS, content.records), (KEYS, keys)):
            (part / name).write_text(canonical_json(value), encoding="utf-8")
        (part / ORIGIN).write_text(canonical_json(to_plain(origin)), encoding="utf-8")
        os.rename(part, folder / origin.bundle)
    except OSError as error:
        raise _cannot_write(error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _say(root: Path, said: Mapping[str, SharedLabel]) -> None:
    """Take over names, notes and tags of runs of which nothing is said here."""
    labels = Labels(root)
    before = labels.all()
    for run, label in said.items():
        if before.get(run, NOTHING) == NOTHING:
            labels.change([run], name=label.name, note=label.note, add_tags=label.tags)


def _met(root: Path, reports: list[Report]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which of the runs were measured here, too, and which of those with other numbers."""
    library = Library(root)
    own = [report for report in reports if library.owns(report.id)]
    differing = []
    for report in own:
        with contextlib.suppress(QuantscopeError):
            if library.get(report.id).metrics != report.metrics:
                differing.append(report.id)
    return tuple(report.id for report in own), tuple(differing)


def _sweep(folder: Path) -> None:
    """Remove what killed imports and removals have left an hour ago."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            old = time.time() - entry.stat(follow_symlinks=False).st_mtime > _PART_SECONDS
            if old and _PART.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)


def _cannot_write(error: OSError) -> DiskFull:
    return DiskFull(
        f"the import cannot be written: {error.strerror}",
        remedy="free some disk space, or make the home writable",
    )
