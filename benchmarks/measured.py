"""The tables of docs/measured.md, out of the finished reports of a home.

Every file of `benchmarks/recipes/` is a sweep. It reads two texts by name, so put them (or links to
them) into the folder from which it is run: `wiki.test.raw`, WikiText-2's test text, and `c4.txt`,
English C4 to calibrate on. Then

    .venv/bin/python -m qcore sweep benchmarks/recipes/piso_bits.json
    .venv/bin/python -m benchmarks.measured piso_bits

A report is a run's when their recipes are equal but for the folders of texts. Each sweep with a
report leaves `results/quality_NAME.json`: one row a run, with its window losses in nats per token.

`median output error` is over layers, on the calibration text (docs/gptq.md).

Runs are set against baselines of the same sweep, window by window: `over mse` is a run's perplexity
over that of the same run with MSE scales, with a paired 95 % interval; below 1 the run is better.
(MixQuant's recovery, ppl_full / ppl_b, is the inverse of `over full`, its ends included.)

Nothing is computed here: what was not run is counted, and left out.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmarks._measure import save, table
from qcore.evaluation.confidence import compare_perplexities, perplexity_interval
from qcore.machine.home import home
from qcore.recipe import Recipe, RotationPart, ScalesPart
from qcore.recipe.sweep import expand
from qcore.recipe.titles import title_of
from qcore.report.library import Library
from qcore.report.report import Report

RECIPES = Path(__file__).parent / "recipes"

Change = Callable[[Recipe], Recipe]


def _scales(method: str) -> Change:
    def change(recipe: Recipe) -> Recipe:
        scales = ScalesPart(method, storage=recipe.scales.storage)  # type: ignore[arg-type]
        return replace(recipe, scales=scales)

    return change


def _spent(method: str, recipe: Recipe) -> Recipe:
    part = recipe.precision
    known = replace(part, method=method) if part else None  # type: ignore[arg-type]
    return replace(recipe, precision=known, seed=0)


def _full(recipe: Recipe) -> Recipe:
    return replace(recipe, rotation=RotationPart(), permutation=None)


BASELINES: Mapping[str, Mapping[str, Change]] = {
    "piso_bits": {"mse": _scales("mse"), "absmax": _scales("absmax")},
    "blocks": {"full": _full},
    "expansion": {"unexpanded": lambda recipe: replace(recipe, expansion=None)},
    "grid": {"identity": lambda recipe: replace(recipe, permutation=None)},
    "precision": {
        "random": lambda recipe: _spent("random", recipe),
        "kl": lambda recipe: _spent("kl", recipe),
    },
}
"""By sweep: what its runs are set against."""


def main() -> None:
    names = sorted(path.stem for path in RECIPES.glob("*.json"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweeps", nargs="*", metavar="SWEEP", help=f"of {', '.join(names)}")
    chosen = parser.parse_args().sweeps or names
    if unknown := set(chosen) - set(names):
        parser.error(f"no sweep {', '.join(sorted(unknown))}; choose of {', '.join(names)}")
    finished: dict[str, Report] = {}
    for report in Library(home()).reports():  # newest first: of two for one recipe, that one counts
        finished.setdefault(name_of(report.recipe), report)
    for name in chosen:
        wanted = expand(json.loads((RECIPES / f"{name}.json").read_text(encoding="utf-8")))
        found = [(run, finished[name_of(run)]) for run in wanted if name_of(run) in finished]
        print(f"\n{name}: {len(found)} of {len(wanted)} runs are finished in this home")
        if found:
            rows = rows_of(found, BASELINES.get(name, {}))
            print(table(_lines(rows)))
            if spread := over_seeds(found):
                print(table(spread))
            save(f"quality_{name}", rows)


def rows_of(
    runs: Sequence[tuple[Recipe, Report]], baselines: Mapping[str, Change]
) -> list[dict[str, Any]]:
    """One row a run, set against those of `baselines` that were run too and are not itself."""
    by_name = {name_of(recipe): report for recipe, report in runs}
    rows = []
    for recipe, report in runs:
        row = _row(recipe, report)
        for name, change in baselines.items():
            other = by_name.get(name_of(change(recipe)))
            if other is not None and other is not report:
                pair = compare_perplexities(other.window_losses, report.window_losses)
                assert pair.ratio is not None
                row[f"over {name}"] = _rounded(pair.ratio.value, pair.ratio.low, pair.ratio.high)
                row[f"layers above {name}"] = _layers_above(report, other)
        rows.append(row)
    return rows


def over_seeds(runs: Iterable[tuple[Recipe, Report]]) -> list[dict[str, Any]]:
    """Least, geometric mean and largest perplexity of runs that differ in their seed alone."""
    groups: dict[str, list[Report]] = {}
    for recipe, report in runs:
        groups.setdefault(name_of(replace(recipe, seed=0)), []).append(report)
    rows = []
    for reports in groups.values():
        losses = [fmean(report.window_losses) for report in reports]
        least, mean, most = (math.exp(value) for value in (min(losses), fmean(losses), max(losses)))
        title = title_of(reports[0].recipe)
        if len(reports) > 1:
            rows.append(
                {"run": title, "seeds": len(losses), "least": least, "mean": mean, "most": most}
            )
    return rows


def _row(recipe: Recipe, report: Report) -> dict[str, Any]:
    losses = report.window_losses
    whole = perplexity_interval(losses)
    divergence = report.metric("kl")
    errors = [layer.output_error for layer in report.layers if layer.output_error is not None]
    return {
        "run": title_of(recipe),
        "recipe": recipe.to_dict(),
        "windows": len(losses),
        "perplexity": _rounded(whole.value, whole.low, whole.high),
        "perplexity of 8": round(math.exp(fmean(losses[:8])), 4),
        "kl": divergence and _rounded(divergence.value, divergence.low, divergence.high),
        "median output error": round(median(errors), 6) if errors else None,
        "bits": report.precision and round(report.precision.bits, 4),
        "notes": [note for note in report.notes if note.startswith("expansion")],
        "window losses": [round(loss, 6) for loss in losses],
    }


def _layers_above(report: Report, other: Report) -> int:
    """Layers whose output error on the calibration text is larger than in the other run."""
    theirs = {layer.name: layer.output_error for layer in other.layers}
    pairs = [(layer.output_error, theirs[layer.name]) for layer in report.layers]
    return sum(ours is not None and b is not None and ours > b for ours, b in pairs)


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What of the rows fits on the screen: values with their intervals as text."""
    measured = [name for name in rows[0] if name in ("perplexity", "kl")]
    compared = {name: None for row in rows for name in row if name.startswith("over ")}
    return [
        {
            "run": row["run"],
            "seed": str(row["recipe"]["seed"]),
            "of 8": f"{row['perplexity of 8']:.2f}",
            **{name: _text(row.get(name)) for name in (*measured, *compared)},
        }
        for row in rows
    ]


def _text(value: Sequence[float] | None) -> str:
    return "{:.4g} [{:.4g}, {:.4g}]".format(*value) if value else ""


def _rounded(*values: float | None) -> list[float | None]:
    """Value, low and high with six significant digits."""
    return [None if value is None else float(f"{value:.6g}") for value in values]


def name_of(recipe: Recipe) -> str:
    """The recipe's canonical text, with the folders of its texts left out."""
    plain = recipe.to_dict()
    for part in ("calibration", "evaluation"):
        text = plain.get(part, {}).get("text", "")
        if text.startswith("file:"):
            plain[part]["text"] = f"file:{Path(text.removeprefix('file:')).name}"
    return json.dumps(plain, sort_keys=True)


if __name__ == "__main__":
    main()
