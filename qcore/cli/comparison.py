"""`compare`: runs against a baseline, as the Compare page holds them.

Runs that were not scored on the baseline's tokens are left out with the reason, and the status
tells; with --measure they are measured on the baseline's evaluation first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from qcore.cli.output import put, say
from qcore.cli.reports import statistics
from qcore.cli.tables import aligned
from qcore.errors import InvalidRecipe
from qcore.explore.compare import (
    Difference,
    Refusal,
    RunComparison,
    check_number,
    compare,
    differing_knobs,
    separate,
)
from qcore.machine.home import home
from qcore.recipe.titles import title_of
from qcore.report.labels import Labels
from qcore.report.library import Library
from qcore.report.metrics import is_share, metric_label
from qcore.report.report import Report
from qcore.report.text_tables import markdown
from qcore.report.tokens import kl_table
from qcore.serialization import to_plain

LETTERS = "ABCDEF"
"""A run's name in the output; the baseline is A."""

_DIFFERENCES = ("Run", "Metric", "A", "Run's", "Difference", "95 % interval", "Unit", "Says")


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `compare`."""
    parser.add_argument("ids", nargs="+", help="two to six runs' ids, or their first digits")
    parser.add_argument("--base", help="the baseline among them; the first by default")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="first run what was not scored on the baseline's text, windows and tasks",
    )
    parser.add_argument("--device", help="where to; as for run")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the comparison as JSON")
    form.add_argument("--markdown", action="store_true", help="print tables to paste into an issue")
    parser.set_defaults(command=compare_runs)


def compare_runs(options: argparse.Namespace) -> int:
    """Print how runs differ from a baseline; the status is 1 where some cannot be compared."""
    reports = _ordered(_read(options.ids), options.base)
    kept, refused = separate(reports)
    if refused and options.measure:
        made = _measured(refused, options.device)
        replaced = [made.get(report.id, report) for report in reports]
        check_number([report.id for report in replaced])
        kept, refused = separate(replaced)
    for refusal in refused:
        say(f"quantscope: {refusal.run} cannot be compared with {kept[0].id}: {refusal.reason}")
        if refusal.missing and not options.measure:
            say("quantscope: --measure runs it on the baseline's evaluation")
    if len(kept) < 2:
        return 1
    found = compare(kept)
    if options.json:
        put(json.dumps(_plain(kept, found, refused), ensure_ascii=False))
    else:
        put((_as_markdown if options.markdown else _as_text)(kept, found))
    return 1 if refused else 0


def _read(ids: Sequence[str]) -> list[Report]:
    library = Library(home())
    if len(ids) > len(LETTERS):  # before any is read
        check_number([*map(str, range(len(ids)))])
    reports = [library.get(run) for run in ids]
    check_number([report.id for report in reports])
    return reports


def _ordered(reports: list[Report], base: str | None) -> list[Report]:
    """The baseline first."""
    if base is None:
        return reports
    chosen = [report for report in reports if base and report.id.startswith(base)]
    if len(chosen) != 1:
        raise InvalidRecipe(
            f"the baseline {base[:40]!a} is none of the compared runs",
            remedy=f"choose one of {', '.join(report.id for report in reports)}",
        )
    return [*chosen, *(report for report in reports if report is not chosen[0])]


def _measured(refused: Sequence[Refusal], device: str | None) -> dict[str, Report]:
    """The refused runs' counterparts on the baseline's evaluation, by the refused one's id."""
    from qcore.api.bars import Bars
    from qcore.api.engine import Engine

    engine = Engine.at_home(device, note=lambda sentence: say(f"note: {sentence}"))
    made: dict[str, Report] = {}
    for refusal in refused:
        for recipe in refusal.missing:
            with Bars(f"{title_of(recipe)}: ", say=say) as bars:
                made[refusal.run] = engine.run(recipe, bars.show)
    return made


def _plain(
    reports: Sequence[Report], found: Sequence[RunComparison], refused: Sequence[Refusal]
) -> dict[str, Any]:
    names = _names(reports)
    runs: list[dict[str, Any]] = [
        {
            "id": report.id,
            "name": names[report.id],
            "bits_per_weight": report.volume.bits_per_weight,
            "tokens": to_plain(statistics(report)),
        }
        for report in reports
    ]
    for run, other in zip(runs[1:], found, strict=True):
        run["verdict"] = other.verdict
        run["windows_needed"] = other.needed
        run["differences"] = [{**to_plain(gap), "says": _says(gap)} for gap in other.differences]
    return {
        "baseline": reports[0].id,
        "runs": runs,
        "knobs": to_plain(differing_knobs(reports)),
        "refused": [{"id": item.run, "reason": item.reason} for item in refused],
    }


def _as_text(reports: Sequence[Report], found: Sequence[RunComparison]) -> str:
    names = _names(reports)
    sentences = ["Baseline.", *(run.verdict for run in found)]
    lines = [
        f"{letter}  {report.id}  {report.volume.bits_per_weight:6.3f} bits/w  "
        f"{names[report.id]}\n   {sentence}"
        for letter, report, sentence in zip(LETTERS, reports, sentences, strict=False)
    ]
    parts = ["\n".join(lines), aligned(_DIFFERENCES, _differences(found))]
    knobs = _knobs(reports)
    if knobs:
        parts.append(aligned(["Knob", *LETTERS[: len(reports)]], knobs))
    return "\n\n".join(parts)


def _as_markdown(reports: Sequence[Report], found: Sequence[RunComparison]) -> str:
    names = _names(reports)
    rows = zip(LETTERS, reports, ["Baseline.", *(run.verdict for run in found)], strict=False)
    runs = [
        [letter, names[report.id], f"{report.volume.bits_per_weight:.3f}", report.id, sentence]
        for letter, report, sentence in rows
    ]
    parts = [
        markdown(["", "Run", "Bits per weight", "Id", "Verdict"], runs),
        markdown(_DIFFERENCES, _differences(found)),
    ]
    knobs = _knobs(reports)
    if knobs:
        parts.append(markdown(["Knob", *LETTERS[: len(reports)]], knobs))
    measured = [
        (f"{letter} {names[report.id]}", report.volume.bits_per_weight, tokens)
        for letter, report in zip(LETTERS, reports, strict=False)
        if (tokens := statistics(report)) is not None
    ]
    if measured:
        parts.append(markdown(*kl_table(measured)))
    return "\n".join(parts).rstrip("\n")


def _differences(found: Sequence[RunComparison]) -> list[list[str]]:
    return [
        [
            letter,
            metric_label(gap.metric),
            f"{gap.base:.6g}",
            f"{gap.value:.6g}",
            f"{gap.gap.value:+.3g}",
            "–" if gap.gap.low is None else f"[{gap.gap.low:+.3g}, {gap.gap.high:+.3g}]",
            "share" if is_share(gap.metric) else gap.unit,
            _says(gap),
        ]
        for letter, run in zip(LETTERS[1:], found, strict=False)
        for gap in run.differences
    ]


def _says(gap: Difference) -> str:
    return {True: "better", False: "worse", None: "open"}[gap.better]


def _knobs(reports: Sequence[Report]) -> list[list[str]]:
    return [
        [path, *("–" if value is None else str(value) for value in values)]
        for path, values in differing_knobs(reports).items()
    ]


def _names(reports: Sequence[Report]) -> dict[str, str]:
    """What people call the runs: their given names, else their titles."""
    labels = Labels(home())
    return {report.id: labels.of(report.id).name or title_of(report.recipe) for report in reports}
