"""`run` and `sweep`: compute one recipe, or every combination of a recipe with lists in it."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from qcore.api.bars import Bars
from qcore.api.engine import Engine
from qcore.cli.output import put, say
from qcore.cli.tables import table
from qcore.errors import InvalidRecipe, QuantscopeError
from qcore.machine.home import home
from qcore.recipe import Recipe
from qcore.recipe.sweep import expand
from qcore.recipe.titles import title_of
from qcore.report.library import Library
from qcore.report.report import Report
from qcore.serialization import parse_json

LARGEST_RECIPE = 10_000_000
"""Characters of a recipe or a sweep that are read."""


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run`."""
    _add_arguments(parser, "JSON file; - reads standard input; or a finished run's id")
    parser.add_argument(
        "--ensure",
        metavar="STAGE",
        help="no run: make sure that this one stage is in the cache, such as capture or evaluate",
    )
    parser.set_defaults(command=run_one)


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sweep`."""
    _add_arguments(parser, "JSON file; - reads standard input")
    parser.set_defaults(command=run_all)


def run_one(options: argparse.Namespace) -> int:
    """Run one recipe and print its Report, or a line of it."""
    recipe = _recipe(options.recipe)
    if options.ensure:
        return _ensure(recipe, options)
    with Bars(say=say) as bars:
        report = Engine.at_home(options.device, note=_note).run(recipe, bars.show)
    put(report.to_json() if options.json else table([report]))
    return 0


def _ensure(recipe: Recipe, options: argparse.Namespace) -> int:
    """Have one stage in the cache, and print its key."""
    with Bars(say=say) as bars:
        key = Engine.at_home(options.device, note=_note).ensure(recipe, options.ensure, bars.show)
    put(json.dumps({"stage": options.ensure, "key": key}) if options.json else key)
    return 0


def _recipe(path: Path) -> Recipe:
    """The recipe of a file, or of the finished run of that id where there is no such file."""
    if _ID.fullmatch(str(path)) and not path.exists():
        return Library(home()).get(str(path)).recipe
    return Recipe.from_json(_read(path))


_ID = re.compile(r"[0-9a-f]{4,16}")


def run_all(options: argparse.Namespace) -> int:
    """Run every combination; a failed one does not stop the others, but the status tells."""
    recipes = expand(parse_json(_read(options.recipe)))
    engine = Engine.at_home(options.device, note=_note)
    reports: list[Report] = []
    failed = 0
    for number, recipe in enumerate(recipes, start=1):
        try:
            with Bars(f"{number}/{len(recipes)} {title_of(recipe)}: ", say=say) as bars:
                reports.append(engine.run(recipe, bars.show))
        except QuantscopeError as error:
            failed += 1
            say(f"quantscope: {title_of(recipe)}: {error}")
    if options.json:
        put("[" + ",".join(report.to_json() for report in reports) + "]")
    elif reports:
        put(table(reports))
    if failed:
        say(f"quantscope: {failed} of {len(recipes)} runs failed")
    return 1 if failed else 0


def _add_arguments(parser: argparse.ArgumentParser, recipe: str) -> None:
    parser.add_argument("recipe", type=Path, help=recipe)
    parser.add_argument("--device", help="cpu, cuda:0, …; the first GPU by default, else the CPU")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def _note(sentence: str) -> None:
    say(f"note: {sentence}")


def _read(path: Path) -> str:
    shown = ascii(str(path))[1:-1][:200]
    try:
        if str(path) == "-":
            text = sys.stdin.read(LARGEST_RECIPE + 1)
        else:  # a pipe is welcome: a shell makes one of `<(…)`
            with path.open(encoding="utf-8") as file:
                text = file.read(LARGEST_RECIPE + 1)
    except UnicodeError as error:
        raise InvalidRecipe(f"{shown} is not UTF-8 text", remedy="write it as UTF-8") from error
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise InvalidRecipe(f"{shown} cannot be read: {said}", remedy="check the path") from error
    if len(text) > LARGEST_RECIPE:
        raise InvalidRecipe(
            f"{shown} has more than {LARGEST_RECIPE} characters",
            remedy="name a file that holds a recipe",
        )
    return text
