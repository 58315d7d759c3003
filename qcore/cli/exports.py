"""`export` and `verify`: write a run for servers, and check a written folder again."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qcore.cli.output import put, say
from qcore.errors import ExportError
from qcore.machine.home import cache_limit, home
from qcore.models.files import real_path
from qcore.progress import Event
from qcore.report.library import Library

if TYPE_CHECKING:
    from qcore.export.verdict import Verdict


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `export`."""
    parser.add_argument("id", help="the report's id, or the first digits of it")
    parser.add_argument(
        "--to",
        choices=["compressed-tensors", "gguf"],
        default="compressed-tensors",
        help="the layout: for transformers and vLLM, or for llama.cpp",
    )
    parser.add_argument("--out", required=True, type=Path, help="a folder that does not exist yet")
    parser.set_defaults(command=export)


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `verify`."""
    parser.add_argument("folder", type=Path, help="what `export` wrote")
    parser.set_defaults(command=check)


def export(options: argparse.Namespace) -> int:
    """Write a run and print what its readers say."""
    from cache.store import Cache
    from qcore.export.folder import bytes_of
    from qcore.export.records import Exports, both
    from qcore.export.writing import export_run

    report = Library(home()).get(options.id)
    out = options.out.expanduser().absolute()
    with (
        Exports(home()).recording(report.id, options.to, out) as record,
        contextlib.closing(Cache(home() / "cache", cache_limit())) as cache,
    ):
        emit = both(_tell, record.heard)
        verdicts = export_run(report, out, cache=cache, to=options.to, emit=emit)
        size, promised = bytes_of(out), report.volume.total_bytes
        record.done(verdicts, size, promised)
    say(f"quantscope: {size / 1e6:.1f} MB on disk; the report says {promised / 1e6:.1f} MB")
    _print(verdicts)
    return 0


def check(options: argparse.Namespace) -> int:
    """Ask the readers about a folder and print what they say."""
    from qcore.export.verify import verify

    remedy = "name a folder that `python -m qcore export` wrote"
    _print(verify(real_path(options.folder, error=ExportError, remedy=remedy)))
    return 0


def _print(verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        put(f"{verdict.target}: {verdict.word}: {verdict.why}")


def _tell(event: Event) -> None:
    if event.kind == "stage" or event.message.startswith("asking"):
        say(f"quantscope: {event.stage} {event.message}".rstrip())
