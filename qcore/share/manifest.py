"""What a bundle says of itself: which runs it brings, and every member's size and digest.

    runs.zip
    ├── bundle.json                this
    ├── reports/RUN.json           the Reports, as their library has them
    ├── labels.json                names, tags and notes
    ├── records.json               see `qcore.share.contents`
    ├── scores/RUN.safetensors     every scored token, WINDOW.FIELD
    ├── runs.parquet               a row per run, and
    └── windows.parquet            a row per run and window: for pandas, R and DuckDB

Import reads the JSON and safetensors members. The tables repeat what the Reports say, for readers
that are not Quantscope, and are only checked against their digests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from cache.digest import canonical_json
from qcore.errors import QuantscopeError, ShareError
from qcore.serialization import from_plain, parse_json, to_plain

SCHEMA = 1
MANIFEST, LABELS, RECORDS = "bundle.json", "labels.json", "records.json"
RUNS_TABLE, WINDOWS_TABLE = "runs.parquet", "windows.parquet"

LONGEST_TITLE = 100
"""Characters."""

_RUN = re.compile(r"[0-9a-f]{16}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PER_RUN = re.compile(r"(?:reports/[0-9a-f]{16}\.json|scores/[0-9a-f]{16}\.safetensors)")


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a bundle: its bytes when unpacked, and their SHA-256."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The member `bundle.json`.

    Attributes:
        format: tells a bundle from any other zip.
        schema: of this layout.
        made: seconds since the epoch.
        version: Quantscope's.
        title: what whoever made it calls it; may be empty.
        runs: ids, in the order in which they were asked for.
        members: every other member, by name.
        example: whether it ships with Quantscope, to be looked at.
    """

    format: Literal["quantscope bundle"]
    schema: int
    made: float
    version: str
    title: str
    runs: tuple[str, ...]
    members: dict[str, Member]
    example: bool = False

    def to_json(self) -> str:
        """The canonical JSON text."""
        return canonical_json(to_plain(self))

    @classmethod
    def from_json(cls, content: bytes) -> Manifest:
        """The manifest of a bundle.

        Raises:
            ShareError: it is none, of a newer schema, or contradicts itself.
        """
        try:
            data = parse_json(content.decode())
        except (QuantscopeError, UnicodeDecodeError) as error:
            raise ShareError(f"{MANIFEST} is no JSON: {error}", remedy=_AGAIN) from error
        if not isinstance(data, dict) or data.get("format") != "quantscope bundle":
            raise ShareError(
                f"{MANIFEST} does not say that this is a Quantscope bundle", remedy=NO_BUNDLE
            )
        schema = data.get("schema")
        if type(schema) is int and schema > SCHEMA:
            raise ShareError(
                f"the bundle is of schema {schema}, and this version reads up to {SCHEMA}",
                remedy="import it with the newer Quantscope that made it, or a later one",
            )
        try:
            manifest = from_plain(cls, data, MANIFEST)
        except QuantscopeError as error:
            raise ShareError(error.fact, remedy=_AGAIN) from error
        _check(manifest)
        return manifest


def report_member(run: str) -> str:
    """The member that holds a run's Report."""
    return f"reports/{run}.json"


def scores_member(run: str) -> str:
    """The member that holds a run's token scores."""
    return f"scores/{run}.safetensors"


def is_member(name: str) -> bool:
    """Whether a bundle may have a member of that name."""
    fixed = (MANIFEST, LABELS, RECORDS, RUNS_TABLE, WINDOWS_TABLE)
    return name in fixed or _PER_RUN.fullmatch(name) is not None


def _check(manifest: Manifest) -> None:
    """Refuse a manifest that contradicts itself. Raises ShareError."""
    runs = manifest.runs
    odd = [run for run in runs if not _RUN.fullmatch(run)]
    wrong = [
        name
        for name, member in manifest.members.items()
        if not is_member(name) or member.bytes < 0 or not _DIGEST.fullmatch(member.sha256)
    ]
    faults = {
        f"its schema is {manifest.schema}": manifest.schema != SCHEMA,
        "it names no run": not runs,
        f"it names {odd[0][:40]!a} as a run" if odd else "": bool(odd),
        "it names a run twice": len(set(runs)) != len(runs),
        f"it lists the member {wrong[0][:60]!a}" if wrong else "": bool(wrong),
        f"its title has {len(manifest.title)} characters": len(manifest.title) > LONGEST_TITLE,
        "it was made at no time of this age": not 0 <= manifest.made < _YEAR_10000,
    }
    for fact, holds in faults.items():
        if holds:
            raise ShareError(f"{MANIFEST} is damaged: {fact}", remedy=_AGAIN)
    needed = [report_member(run) for run in runs]
    lacking = [name for name in needed if name not in manifest.members]
    if lacking:
        raise ShareError(f"{MANIFEST} lacks the member {lacking[0]}", remedy=_AGAIN)
    brought = {name.split("/")[1].split(".")[0] for name in manifest.members if "/" in name}
    if brought - set(runs):
        raise ShareError(
            f"{MANIFEST} lists a member of {min(brought - set(runs))}, which is none of its runs",
            remedy=_AGAIN,
        )


_AGAIN = "ask for the bundle again, or make it anew with `python -m qcore bundle`"
NO_BUNDLE = "give a file that `python -m qcore bundle` or the Share page made"
_YEAR_10000 = 253_402_300_800
