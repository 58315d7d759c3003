"""Reports as text: one line each, or one of them in full."""

from __future__ import annotations

import json
from collections.abc import Sequence

from qcore.recipe.titles import title_of
from qcore.report.labels import Label
from qcore.report.report import Metric, Report
from qcore.report.summary import Score, Summary
from qcore.report.tokens import TokenStatistics, block


def table(reports: Sequence[Report]) -> str:
    """One line per report: id, size, quality, title."""
    lines = [f"{'report':16}  {'bits/w':>6}  {'MB':>7}  {'perplexity':>10}  {'KL':>8}  recipe"]
    for report in reports:
        perplexity, divergence = report.metric("perplexity"), report.metric("kl")
        lines.append(
            f"{report.id:16}  {report.volume.bits_per_weight:6.2f}  "
            f"{report.volume.total_bytes / 1e6:7.1f}  "
            f"{_number(perplexity):>10}  {_number(divergence):>8}  {title_of(report.recipe)}"
        )
    return "\n".join(lines)


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their headers, each column as wide as its widest cell."""
    lines = [list(headers), *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(headers))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def listing(runs: Sequence[tuple[Summary, Label]]) -> str:
    """One line per run: id, what is said of it (* pinned, A baseline, - archived), size, quality.

    Its name, or else its title, and its tags stand last.
    """
    lines = [f"{'report':16}      {'bits/w':>6}  {'MB':>7}  {'perplexity':>10}  {'KL':>8}  run"]
    for run, label in runs:
        flags = zip("*A-", (label.pinned, label.baseline, label.archived), strict=True)
        tags = "".join(f"  #{tag}" for tag in label.tags)
        lines.append(
            f"{run.id:16} {''.join(sign if on else ' ' for sign, on in flags)}  "
            f"{run.bits:6.2f}  {run.bytes / 1e6:7.1f}  {_number(run.score('perplexity')):>10}  "
            f"{_number(run.score('kl')):>8}  {label.name or title_of(run.recipe)}{tags}"
        )
    return "\n".join(lines)


def details(report: Report, tokens: TokenStatistics | None = None) -> str:
    """One report in full: every metric with its definition, the size, the stages, the recipe.

    Args:
        report: to be shown.
        tokens: its statistics over tokens, where they are known.
    """
    lines = [f"{report.id}  {title_of(report.recipe)}", f"model: {report.environment.model}", ""]
    for metric in report.metrics:
        interval = "" if metric.low is None else f"  [{metric.low:.4g}, {metric.high:.4g}]"
        lines.append(f"{metric.name}: {metric.value:.6g} {metric.unit}{interval}")
        lines.append(f"    {metric.definition}")
    if tokens is not None:
        lines += [
            "",
            f"over {tokens.tokens:,} tokens, against the float network:",
            "",
            block(tokens),
        ]
    size = report.volume
    lines += [
        "",
        f"size: {size.total_bytes / 1e6:.1f} MB, {size.bits_per_weight:.3f} bits per weight",
        "",
        *(f"{s.name}: {s.seconds:.2f} s{' (cached)' if s.cached else ''}" for s in report.stages),
        "",
        *(f"note: {note}" for note in report.notes),
        f"recipe: {json.dumps(report.recipe.to_dict())}",
    ]
    return "\n".join(lines)


def _number(metric: Metric | Score | None) -> str:
    return "–" if metric is None else f"{metric.value:.4g}"
