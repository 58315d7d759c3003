"""`board`, `bundle`, `import`: runs to others, and theirs here."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path

from qcore.cli.output import put, say
from qcore.errors import InvalidRecipe
from qcore.machine.home import cache_limit, home
from qcore.recipe.titles import title_of
from qcore.report.imported import Imports, Origin
from qcore.report.index import Index
from qcore.report.labels import NOTHING, Labels
from qcore.report.library import Library
from qcore.report.report import Report
from qcore.serialization import to_plain


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bundle`."""
    parser.add_argument("out", type=Path, help="the zip to make")
    add_choice(parser)
    parser.add_argument("--title", default="", help="what to call it where it is imported")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.set_defaults(command=bundle)


def add_board(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `board`."""
    parser.add_argument("out", type=Path, help="the HTML file to make")
    add_choice(parser)
    parser.add_argument("--title", default="", help="of the board")
    parser.add_argument("--note", default="", help="what its reader is told first")
    parser.add_argument(
        "--tokens",
        action="append",
        metavar="RUN",
        help="runs whose tokens are shown; may be repeated",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.set_defaults(command=board)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `import`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("file", nargs="?", type=Path, help="a bundle")
    what.add_argument("--list", action="store_true", help="print what was imported")
    what.add_argument("--remove", metavar="IMPORT", help="remove one, with all of its runs")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.set_defaults(command=take)


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add what says which runs: ids, or words and tags that they have."""
    parser.add_argument("ids", nargs="*", metavar="RUN", help="ids, or their first digits")
    parser.add_argument(
        "--filter", metavar="WORDS", help="every run that holds all of these words, as in list"
    )
    parser.add_argument("--tag", action="append", default=[], help="every run with this tag")


def chosen(options: argparse.Namespace) -> list[Report]:
    """The runs that the command line names: by id in that order, else by words, newest first.

    Raises:
        InvalidRecipe: no run is named, or none is found.
        CorruptEntry: one of them cannot be read.
    """
    library = Library(home())
    if options.ids and (options.filter is not None or options.tag):
        raise InvalidRecipe(
            "runs are named both by ids and by --filter or --tag", remedy="use one of the two"
        )
    if options.ids:
        ids = dict.fromkeys(library.complete(run) for run in options.ids)
        return [library.get(run) for run in ids]
    if options.filter is None and not options.tag:
        raise InvalidRecipe(
            "no runs are named", remedy="give their ids, or --filter WORDS, or --filter '' for all"
        )
    index, labels = Index(library), Labels(home()).all()
    index.refresh()
    found = []
    for run in index.summaries():
        label = labels.get(run.id, NOTHING)
        words = (run.id, run.model, title_of(run.recipe), label.name, label.note, *label.tags)
        said = " ".join(words).casefold()
        tagged = all(tag in label.tags for tag in options.tag)
        named = all(word in said for word in (options.filter or "").casefold().split())
        if tagged and named and not label.archived:
            found.append(run.id)
    if not found:
        raise InvalidRecipe(
            "no run holds these words and tags", remedy="see them with `python -m qcore list`"
        )
    return [library.get(run) for run in found]


def board(options: argparse.Namespace) -> int:
    """Write a board and print where, and how large it is."""
    from cache.store import Cache
    from qcore.share.board.file import write_board  # waits for torch
    from qcore.share.shelf import Carried, Shelf

    root, reports = home(), chosen(options)
    library = Library(root)
    tokens = None if options.tokens is None else [library.complete(run) for run in options.tokens]
    with contextlib.closing(Cache(root / "cache", cache_limit())) as cache:
        made = write_board(
            options.out,
            reports,
            Shelf(cache, Carried(library.imports)),
            Labels(root).all(),
            title=options.title,
            note=options.note,
            tokens=tokens,
            sources=library.sources(),
            overwrite=options.force,
        )
    put(f"{options.out}: {made.runs} runs, {made.bytes / 1e6:.2f} MB")
    if not made.with_tokens:
        say(
            "note: no tokens of these runs are kept; `python -m qcore run RUN --ensure evaluate` "
            "brings them back"
        )
    return 0


def bundle(options: argparse.Namespace) -> int:
    """Write a bundle and print where, and how large it is."""
    from cache.store import Cache
    from qcore.share.bundle import write_bundle  # waits for torch

    reports = chosen(options)
    with contextlib.closing(Cache(home() / "cache", cache_limit())) as cache:
        made = write_bundle(
            options.out,
            reports,
            cache,
            Labels(home()).all(),
            title=options.title,
            overwrite=options.force,
        )
    put(f"{options.out}: {made.runs} runs, {made.bytes / 1e6:.2f} MB")
    if made.with_scores < made.runs:
        say(
            f"note: {made.runs - made.with_scores} of {made.runs} runs without their tokens, which "
            "the cache does not have; `python -m qcore run RUN --ensure evaluate` brings them back"
        )
    tell_paths(made.paths)
    return 0


def take(options: argparse.Namespace) -> int:
    """Import a bundle, list what was imported, or remove an import."""
    root = home()
    if options.list:
        return _list(Imports(root).origins(), as_json=options.json)
    if options.remove is not None:
        from qcore.share.intake import remove  # waits for torch

        gone = remove(root, options.remove)
        return _done(gone, f"removed {gone.name}: {len(gone.runs)} runs", options)
    from qcore.share.archive import open_regular
    from qcore.share.intake import take_in

    with open_regular(options.file) as file:
        taken = take_in(file, root, name=options.file.name)
    for run in taken.own:
        same = "with other numbers" if run in taken.differing else "with the same numbers"
        say(f"note: {run} was measured here, too, {same}; yours is shown")
    runs = len(taken.origin.runs)
    return _done(
        taken.origin,
        f"imported {taken.origin.name}: {runs} runs, as {taken.origin.bundle}",
        options,
    )


def tell_paths(paths: tuple[str, ...]) -> None:
    """Say which of this machine's paths leave it."""
    if paths:
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        say(
            f"note: recipes name paths of this machine, which others will read: "
            f"{', '.join(paths[:3])}{more}"
        )


def _list(origins: tuple[Origin, ...], *, as_json: bool) -> int:
    if as_json:
        put(json.dumps([to_plain(origin) for origin in origins], ensure_ascii=False))
    elif origins:
        put("\n".join(f"{o.bundle}  {len(o.runs):4} runs  {o.name}" for o in origins))
    else:
        say("quantscope: nothing was imported")
    return 0


def _done(origin: Origin, sentence: str, options: argparse.Namespace) -> int:
    if options.json:
        put(json.dumps(to_plain(origin), ensure_ascii=False))
    else:
        put(sentence)
    return 0
