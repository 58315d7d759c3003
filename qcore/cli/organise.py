"""`list`, `name`, `tag`, `note`, `pin`, `archive`, `delete`: keep order among finished runs.

What is said here is what the dashboard shows, and the other way round (`qcore.report.labels`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from qcore.cli.output import put, say
from qcore.cli.tables import listing
from qcore.errors import InvalidRecipe
from qcore.machine.home import home
from qcore.recipe.titles import title_of
from qcore.report.deletion import Deletion
from qcore.report.index import Index
from qcore.report.labels import LONGEST_NOTE, NOTHING, Label, Labels
from qcore.report.library import Library
from qcore.report.summary import Summary


def add_list(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `list`."""
    parser.add_argument("--search", default="", help="only runs that hold all of these words")
    parser.add_argument("--tag", action="append", default=[], help="only runs with this tag")
    parser.add_argument("--archived", action="store_true", help="archived runs too")
    parser.add_argument("--json", action="store_true", help="print the runs as JSON")
    parser.set_defaults(command=list_runs)


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `name`."""
    parser.add_argument("id", help="the run's id, or the first digits of it")
    parser.add_argument("text", help="stands in the place of its title; '' takes it back")
    parser.set_defaults(command=name)


def add_tag(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `tag`."""
    _add_ids(parser)
    parser.add_argument("--add", action="append", default=[], metavar="TAG", help="may be repeated")
    parser.add_argument("--remove", action="append", default=[], metavar="TAG", help="likewise")
    parser.set_defaults(command=tag)


def add_note(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `note`."""
    parser.add_argument("id", help="the run's id, or the first digits of it")
    parser.add_argument(
        "text", nargs="?", help="'-' reads standard input, '' takes it back; none prints the note"
    )
    parser.set_defaults(command=note)


def add_pin(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `pin`."""
    _add_ids(parser, undo="unpin")
    parser.add_argument("--baseline", action="store_true", help="as what others are held against")
    parser.set_defaults(command=pin)


def add_archive(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `archive`."""
    _add_ids(parser, undo="bring back")
    parser.set_defaults(command=archive)


def add_delete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `delete`."""
    _add_ids(parser, undo="bring back what was deleted today; whole ids only")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(command=delete)


def list_runs(options: argparse.Namespace) -> int:
    """Print every run in a line, pinned ones first, then the newest."""
    root = home()
    index, labels = Index(Library(root)), Labels(root).all()
    index.refresh()
    runs = [(run, labels.get(run.id, NOTHING)) for run in index.summaries()]
    shown = [(run, label) for run, label in runs if _wanted(run, label, options)]
    shown.sort(key=lambda pair: not pair[1].pinned)
    if options.json:
        put(json.dumps([_plain(run, label) for run, label in shown], ensure_ascii=False))
    elif shown:
        put(listing(shown))
    else:
        say("quantscope: no such runs" if runs else "quantscope: no finished runs yet")
    for problem in index.problems:
        say(f"quantscope: {problem.sentence}")
    hidden = sum(label.archived for _, label in runs)
    if hidden and not options.archived:
        say(f"quantscope: {hidden} archived, not shown; see them with --archived")
    return 0


def name(options: argparse.Namespace) -> int:
    """Name a run."""
    return _change([options.id], lambda labels, ids: labels.change(ids, name=options.text))


def tag(options: argparse.Namespace) -> int:
    """Add tags to runs, or take them away."""
    if not options.add and not options.remove:
        raise InvalidRecipe("no tag is named", remedy="name some with --add or --remove")
    return _change(
        options.ids,
        lambda labels, ids: labels.change(ids, add_tags=options.add, remove_tags=options.remove),
    )


def note(options: argparse.Namespace) -> int:
    """Keep a note with a run, or print it."""
    if options.text is None:
        root = home()
        put(Labels(root).of(_known(Library(root), options.id)).note)
        return 0
    text = sys.stdin.read(10 * LONGEST_NOTE) if options.text == "-" else options.text
    return _change([options.id], lambda labels, ids: labels.change(ids, note=text))


def pin(options: argparse.Namespace) -> int:
    """Keep runs on top, or as baselines."""
    on = not options.undo

    def act(labels: Labels, ids: list[str]) -> None:
        if options.baseline:
            labels.change(ids, baseline=on)
        else:
            labels.change(ids, pinned=on)

    return _change(options.ids, act)


def archive(options: argparse.Namespace) -> int:
    """Leave runs out of tables and figures, or bring them back."""
    return _change(options.ids, lambda labels, ids: labels.change(ids, archived=not options.undo))


def delete(options: argparse.Namespace) -> int:
    """Delete runs, asked once; what is lost is said."""
    root = home()
    library = Library(root)
    deletion = Deletion(library, Labels(root))
    if options.undo:
        back = deletion.restore(options.ids)
        say(f"quantscope: {len(back)} of {len(options.ids)} runs are back")
        return 0 if len(back) == len(options.ids) else 1
    ids = [_known(library, run) for run in options.ids]
    if not options.yes:
        _ask(library, ids)
    gone = deletion.delete(ids)
    say(
        f"quantscope: deleted; within a day `python -m qcore delete --undo {' '.join(gone)}` "
        "brings back what was"
    )
    return 0


def _ask(library: Library, ids: list[str]) -> None:
    """Say what is lost and wait for a yes. Raises InvalidRecipe where there is none."""
    for run in ids:
        say(f"{run}  {_title(library.root, run)}")
    say(
        "Lost: the measured numbers of these runs, their names, tags and notes. Kept: the stages "
        "in the cache, so that running a recipe again costs what was evicted since."
    )
    if sys.stdin is None or not sys.stdin.isatty():
        raise InvalidRecipe("nobody can be asked here", remedy="give --yes to delete them")
    say(f"Delete {len(ids)}? [y/N]")
    if sys.stdin.readline(10).strip().lower() not in ("y", "yes"):
        raise InvalidRecipe("nothing was deleted", remedy="answer y to delete")


def _title(root: Path, run: str) -> str:
    index = Index(Library(root))
    index.refresh()
    found = index.summary(run)
    return title_of(found.recipe) if found else "(cannot be read)"


def _change(ids: list[str], act: Callable[[Labels, list[str]], None]) -> int:
    root = home()
    library = Library(root)
    act(Labels(root), [_known(library, run) for run in ids])
    return 0


def _known(library: Library, run: str) -> str:
    """The whole id of a run that is there. Raises InvalidRecipe for one that is not."""
    whole = library.complete(run)
    if not library.has(whole):
        raise InvalidRecipe(
            f"there is no run {whole}", remedy="see their ids with `python -m qcore list`"
        )
    return whole


def _wanted(run: Summary, label: Label, options: argparse.Namespace) -> bool:
    if label.archived and not options.archived:
        return False
    if any(tag not in label.tags for tag in options.tag):
        return False
    said = " ".join(
        (run.id, run.model, title_of(run.recipe), label.name, label.note, *label.tags)
    ).casefold()
    return all(word in said for word in options.search.casefold().split())


def _plain(run: Summary, label: Label) -> dict[str, object]:
    return {
        "id": run.id,
        "name": label.name,
        "title": title_of(run.recipe),
        "model": run.model,
        "created": run.created,
        "bits_per_weight": run.bits,
        "bytes": run.bytes,
        "metrics": {score.name: score.value for score in run.scores},
        "tags": list(label.tags),
        "note": label.note,
        "pinned": label.pinned,
        "archived": label.archived,
        "baseline": bool(label.baseline),
    }


def _add_ids(parser: argparse.ArgumentParser, *, undo: str = "") -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="of a run, or its first digits")
    if undo:
        parser.add_argument("--undo", action="store_true", help=undo)
