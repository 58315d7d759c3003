"""`suffix train|evaluate|predict`: networks that predict how a running case goes on.

The log is a CSV or XES file, or the built-in process where none is named. All three commands make
the same recipe, so what one has computed the next one finds in the cache.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qcore.api.bars import Bars
from qcore.api.engine import Engine
from qcore.cli.output import put, say
from qcore.errors import DataError
from qcore.machine.home import cache_limit, home
from qcore.models.files import real_path
from qcore.recipe import Recipe
from qcore.report.metrics import is_share, metric_label
from qcore.report.report import Metric, Report

SHOWN = 10
"""Suffixes of a beam that are printed."""


def add_suffix(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `suffix` and of its three commands."""
    parser.set_defaults(command=train)  # each of the three sets its own over it
    commands = parser.add_subparsers(required=True, metavar="train|evaluate|predict")
    training = commands.add_parser("train", help="train a network on a log")
    scoring = commands.add_parser("evaluate", help="score it, or a quantized one, on test cases")
    asking = commands.add_parser("predict", help="say how a running case may go on")
    for command, do in ((training, train), (scoring, evaluate), (asking, predict)):
        _add_log(command)
        command.set_defaults(command=do)
    for command in (scoring, asking):
        command.add_argument("--weights", help="a format, such as int4; float by default")
        command.add_argument("--inputs", help="a format of layer inputs, such as int8_asym")
        command.add_argument("--rounding", help="rtn, gptq, gpfq or qronos")
        command.add_argument("--scales", help="absmax, mse or piso")
    scoring.add_argument("--json", action="store_true", help="print the Report as JSON")
    asking.add_argument(
        "--prefix", required=True, help="activities so far, in order, with a | between them"
    )
    asking.add_argument(
        "--hours", type=float, default=1.0, help="between two events (default: %(default)s)"
    )


def train(options: argparse.Namespace) -> int:
    """Train, score in float, and print the losses epoch by epoch."""
    report = _run(options)
    assert report.suffix is not None
    rows = [
        {
            "epoch": str(epoch.number),
            "training": f"{epoch.training:.4f}",
            "validation": f"{epoch.validation:.4f}",
            "best": "*" if epoch.best else "",
        }
        for epoch in report.suffix.epochs
    ]
    put(_aligned(rows))
    put(_scores(report))
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Score on the test cases and print the numbers beside the baselines'."""
    report = _run(options)
    put(report.to_json() if options.json else _scores(report))
    return 0


def predict(options: argparse.Namespace) -> int:
    """Print the likeliest suffixes of a running case with their probabilities.

    Raises:
        DataError: the prefix is too short.
    """
    from cache.store import Cache
    from qcore.pipeline.suffix.opened import open_network  # waits for torch
    from qcore.suffix.prefix import forecast, running_case

    _run(options)
    with contextlib.closing(Cache(home() / "cache", cache_limit())) as cache:
        found = open_network(_recipe(options), cache, home())
    if found is None:
        raise DataError(
            "the cache has lost the network", remedy="run the command again, or raise its limit"
        )
    names = [name.strip() for name in options.prefix.split("|")]
    unknown = [name for name in names if name not in found.encoder.vocabulary]
    if unknown:
        _note(f"training never saw {', '.join(map(ascii, unknown))}: read as unknown")
    now = time.time()
    seconds = [now + 3600 * options.hours * at for at in range(len(names))]
    told = forecast(
        found.network,
        *running_case(found.encoder, names, seconds),
        found.longest,
        found.reach,
        tap=found.tap,
    )
    say_of = found.encoder.names
    rows = [{"answer": "argmax", "probability": "", "suffix": " | ".join(say_of(told.likeliest))}]
    expected, hoped = told.expected
    rows.append(
        {
            "answer": "expected",
            "probability": f"similarity {hoped:.3f}",
            "suffix": " | ".join(say_of(expected)),
        }
    )
    rows += [
        {
            "answer": "beam",
            "probability": f"{math.exp(each.log_probability):.4f}",
            "suffix": " | ".join(say_of(list(each.suffix))),
        }
        for each in told.beam[:SHOWN]
    ]
    put(_aligned(rows))
    return 0


def _add_log(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("log", nargs="?", default="", help="CSV or XES file; the built-in process by default")
    add("--columns", help="the CSV's columns CASE,ACTIVITY,TIME; guessed by default")
    add("--folds", help="a fold file: case, test_fold, val_folds")
    add("--fold", type=int, default=0, help="the fold that tests (default: %(default)s)")
    add("--by-time", action="store_true", help="let the latest cases test")
    add("--cell", choices=["gru", "lstm"], default="gru")
    add("--hidden", type=int, help="width of a layer's state")
    add("--epochs", type=int, help="at most")
    add("--answer", choices=["argmax", "beam", "expected"], default="argmax")
    add("--seed", type=int, default=0)


def _recipe(options: argparse.Namespace) -> Recipe:
    """The recipe of the arguments.

    Raises:
        InvalidRecipe: what they ask for does not go together.
    """
    split = "file" if options.folds else "time" if options.by_time else "cases"
    part: dict[str, Any] = {
        "split": split,
        "fold": options.fold,
        "cell": options.cell,
        "answer": options.answer,
    }
    if options.folds:
        part["folds"] = str(Path(options.folds).resolve())
    if options.columns:
        part["columns"] = options.columns.split(",")
    for name in ("hidden", "epochs"):
        if getattr(options, name) is not None:
            part[name] = getattr(options, name)
    name = str(Path(options.log).resolve()) if options.log else ""
    asked: dict[str, Any] = {
        "model": {"source": "suffix", "name": name},
        "suffix": part,
        "seed": options.seed,
        "weights": None,
    }
    if getattr(options, "weights", None):
        asked["weights"] = {"format": options.weights}
        if options.rounding:
            asked["rounding"] = {"method": options.rounding}
        if options.scales:
            asked["scales"] = {"method": options.scales}
    if getattr(options, "inputs", None):
        asked["activations"] = {"format": options.inputs}
    return Recipe.from_dict(asked)


def _run(options: argparse.Namespace) -> Report:
    _tell_cost(options.log)
    with Bars(say=say) as bars:
        return Engine.at_home("cpu", note=_note).run(_recipe(options), bars.show)


def _tell_cost(log: str) -> None:
    """Say what reading a large log takes before it is read."""
    from qcore.suffix.logs.cost import LARGE, reading_cost

    if not log:
        return
    path = real_path(log, error=DataError, remedy="check the path")
    if not path.is_file():
        return
    cost = reading_cost(path)
    if cost.events >= LARGE:
        _note(
            f"about {cost.events:,} events: reading takes some {cost.memory / 2**20:,.0f} MiB and "
            f"{cost.seconds:.0f} s"
        )


def _scores(report: Report) -> str:
    assert report.suffix is not None
    rows = [
        {
            "metric": metric_label(metric.name),
            "value": _value(metric),
            "95 % interval": _range(metric),
        }
        for metric in report.metrics
    ]
    rows += [
        {"metric": f"Similarity of {name}", "value": f"{value:.4f}", "95 % interval": ""}
        for name, value in report.suffix.baselines.items()
    ]
    return _aligned(rows)


def _value(metric: Metric) -> str:
    if is_share(metric.name):
        return f"{100 * metric.value:.1f} %"
    return f"{metric.value:.4f} {metric.unit}".strip()


def _range(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return ""
    if is_share(metric.name):
        return f"{100 * metric.low:.1f} to {100 * metric.high:.1f} %"
    return f"{metric.low:.4f} to {metric.high:.4f}"


def _aligned(rows: Sequence[dict[str, str]]) -> str:
    """Columns as wide as their widest cell, with a header."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _note(sentence: str) -> None:
    say(f"note: {sentence}")
