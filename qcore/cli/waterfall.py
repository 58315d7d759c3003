"""`waterfall`: what each technique of a run is worth, as the Compare page shows it.

Steps that nobody has run are named and priced; with --run they are run first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qcore.cli.output import put, say
from qcore.cli.tables import aligned
from qcore.errors import QuantscopeError
from qcore.evaluation.confidence import Interval
from qcore.explore.waterfall import (
    StepDifference,
    WaterfallNumbers,
    measure,
    metrics_of,
    stand_ins,
    step_label,
    was_changed,
    waterfall_of,
)
from qcore.machine.home import cache_limit, home
from qcore.recipe import Recipe
from qcore.recipe.titles import title_of
from qcore.report.index import Index
from qcore.report.library import Library
from qcore.report.report import Report
from qcore.report.text_tables import markdown
from qcore.serialization import to_plain

_CHANGED = (
    "steps measured since read other contents of the same text or model: run this run's recipe "
    "again, and look at the waterfall of the new run"
)


def add_waterfall(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `waterfall`."""
    parser.add_argument("id", help="the run's id, or the first digits of it")
    parser.add_argument("--run", action="store_true", help="first run the steps that are missing")
    parser.add_argument("--device", help="where to; as for run")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the waterfall as JSON")
    form.add_argument("--markdown", action="store_true", help="print tables to paste into an issue")
    parser.set_defaults(command=print_waterfall)


def print_waterfall(options: argparse.Namespace) -> int:
    """Print what each technique is worth; the status is 1 where steps are missing."""
    index = Index(Library(home()))
    report = index.get(options.id)
    waterfall = waterfall_of(report)
    index.refresh()
    failed = 0
    missing = waterfall.missing(stand_ins(waterfall, report, index.summaries()))
    if missing and options.run:
        failed = _run([step.recipe for step in missing], options.device)
        index.refresh()
    runs = stand_ins(waterfall, report, index.summaries())
    reports = {run: index.get(run) for run in {report.id, *runs.values()}}
    found = [measure(waterfall, runs, reports, metric) for metric in metrics_of(report)]
    missing = waterfall.missing(runs)
    if options.json:
        put(json.dumps(_plain(found, report, reports), ensure_ascii=False))
    else:
        form = markdown if options.markdown else aligned
        put(_text(found, report, reports, form))
    for step in missing:
        say(f"quantscope: missing: {title_of(step.recipe)}")
    if missing and was_changed(waterfall, report, index.summaries()):
        say(f"quantscope: {_CHANGED}")
    elif missing and not options.run:
        say(f"quantscope: {_price([step.recipe for step in missing])}; --run runs them")
    return 1 if missing or failed else 0


def _run(recipes: Sequence[Recipe], device: str | None) -> int:
    """Run recipes one after the other; returns how many failed."""
    from qcore.api.bars import Bars
    from qcore.api.engine import Engine

    engine = Engine.at_home(device, note=lambda sentence: say(f"note: {sentence}"))
    failed = 0
    for number, recipe in enumerate(recipes, start=1):
        try:
            with Bars(f"{number}/{len(recipes)} {title_of(recipe)}: ", say=say) as bars:
                engine.run(recipe, bars.show)
        except QuantscopeError as error:
            failed += 1
            say(f"quantscope: {title_of(recipe)}: {error}")
    return failed


def _price(recipes: Sequence[Recipe]) -> str:
    """What the missing runs would take: `8 runs, about 312 s; 5 stages shared`."""
    from cache.store import Cache
    from qcore.pipeline import preview

    with contextlib.closing(Cache(home() / "cache", cache_limit())) as cache:
        cost = preview(recipes, cache)
    seconds = f"about {cost.seconds:.0f} s" if cost.seconds is not None else "never timed here"
    return f"{cost.runs} runs, {seconds}; {cost.shared} of {cost.stages} stages shared by them"


def _text(
    found: Sequence[WaterfallNumbers],
    report: Report,
    reports: Mapping[str, Report],
    form: Callable[[Sequence[str], Sequence[Sequence[str]]], str],
) -> str:
    parts = [f"{report.id}  {title_of(report.recipe)}"]
    for numbers in found:
        unit = f"{numbers.metric}, nats per token, {numbers.windows} windows"
        headers = ["Added, in this order", unit, "Difference", "95 % interval", "Bits/w", "Run"]
        parts.append(form(headers, [_row(item, report, reports) for item in numbers.added]))
        headers[0] = "Left out of the run"
        parts.append(
            form(headers, [_row(item, report, reports, out=True) for item in numbers.left_out])
        )
    return "\n\n".join(part.rstrip("\n") for part in parts)


def _row(
    item: StepDifference, report: Report, reports: Mapping[str, Report], *, out: bool = False
) -> list[str]:
    bits = f"{reports[item.run].volume.bits_per_weight:.3f}" if item.run else "–"
    value = "missing" if item.value is None else f"{item.value:.5g}"
    label = step_label(item.step, report, left_out=out)
    return [label, value, *_interval(item.gap), bits, item.run or "–"]


def _interval(gap: Interval | None) -> tuple[str, str]:
    if gap is None:
        return "–", "–"
    ends = "–" if gap.low is None else f"[{gap.low:+.3g}, {gap.high:+.3g}]"
    return f"{gap.value:+.3g}", ends


def _plain(
    found: Sequence[WaterfallNumbers], report: Report, reports: Mapping[str, Report]
) -> dict[str, Any]:
    def rows(items: Sequence[StepDifference], *, out: bool) -> list[dict[str, Any]]:
        return [
            {
                "step": step_label(item.step, report, left_out=out),
                "techniques": list(item.step.techniques),
                "run": item.run or None,
                "bits_per_weight": reports[item.run].volume.bits_per_weight if item.run else None,
                "value": item.value,
                "difference": to_plain(item.gap),
                "recipe": None if item.run else item.step.recipe.to_dict(),
            }
            for item in items
        ]

    return {
        "run": report.id,
        "waterfalls": [
            {
                "metric": numbers.metric,
                "unit": "nats/token",
                "windows": numbers.windows,
                "added": rows(numbers.added, out=False),
                "left_out": rows(numbers.left_out, out=True),
                "whole": to_plain(numbers.whole),
            }
            for numbers in found
        ],
    }
