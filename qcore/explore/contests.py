"""Contests, pure: runs that differ in nothing but how a bit budget was spent.

Of one contest are runs of the same network, text, scales and rounding, scored on the same tokens.
They may differ in the method, the budget and its rules, the pins, and the formats allowed. Runs
without a budget, all layers alike, take part beside them: they are where budgets begin and end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cache.digest import digest
from qcore.formats.format import FORMATS
from qcore.recipe import Precision, Recipe, titles
from qcore.recipe.titles import formats_label, title_of
from qcore.report.report import Report
from qcore.serialization import to_plain


@dataclass(frozen=True, slots=True)
class Contest:
    """Runs that can be compared bit for bit.

    Attributes:
        key: names it, the same after a restart.
        reports: newest first; at least one has a budget.
    """

    key: str
    reports: tuple[Report, ...]

    @property
    def budgeted(self) -> list[Report]:
        """The runs that had a budget or pins, newest first."""
        return [report for report in self.reports if report.recipe.precision is not None]

    @property
    def recipe(self) -> Recipe:
        """What new runs of the contest start from: the newest one with a budget."""
        return self.budgeted[0].recipe

    @property
    def part(self) -> Precision:
        """How the newest run spent its budget."""
        part = self.recipe.precision
        assert part is not None
        return part

    @property
    def asked(self) -> list[Recipe]:
        """The different questions to sensitivities that its runs would ask, richest first."""
        distinct: dict[Any, Recipe] = {}
        for report in self.budgeted:
            part = report.recipe.precision
            if part is not None:
                distinct.setdefault((part.formats, part.probe, part.shared), report.recipe)
        return sorted(distinct.values(), key=_richness, reverse=True)

    @property
    def label(self) -> str:
        """`tiny – MXFP4/8 weights and inputs · RTN · absmax – LAMBADA evaluation · 8 × 512 …`."""
        names = {name for report in self.budgeted for name in _part(report).formats}
        what = formats_label(list(names)) + (
            " weights and inputs" if self.recipe.activations else " weights"
        )
        title = title_of(dataclasses.replace(self.recipe, precision=None))
        how = [word for word in title.split(" · ") if not word.startswith(("W ", "A "))]
        model = self.reports[0].environment.model
        return f"{model} – {' · '.join([what, *how])} – {titles.evaluation_label(self.recipe)}"


def _part(report: Report) -> Precision:
    part = report.recipe.precision
    assert part is not None
    return part


def _richness(recipe: Recipe) -> tuple[int, int]:
    part = recipe.precision
    assert part is not None
    return len(part.formats), part.probe.windows * part.probe.length


def contests(reports: Iterable[Report]) -> list[Contest]:
    """The contests among these Reports, that of the newest run with a budget first."""
    newest = sorted(reports, key=lambda report: report.created, reverse=True)
    keys = {report.id: places(report) for report in newest}
    wanted = dict.fromkeys(key for r in newest if r.recipe.precision for key in keys[r.id])
    return [
        Contest(key, tuple(report for report in newest if key in keys[report.id])) for key in wanted
    ]


def places(report: Report) -> tuple[str, ...]:
    """The keys of the contests in which a run takes part; none where its weights stay in float."""
    recipe = report.recipe
    if recipe.weights is None:
        return ()
    part, acting = recipe.precision, recipe.activations
    fixed = to_plain(acting) if acting else None
    if part is not None:
        inputs = [_widthless(acting) if part.shared and acting else fixed]
    else:  # all layers alike: inputs of the weights' format are as wide as them, and also fixed
        alike = acting is not None and acting.format == recipe.weights.format
        inputs = [fixed, _widthless(acting)] if alike else [fixed]
    draws = recipe.rotation is not None and (
        recipe.rotation.signs or (recipe.permutation and recipe.permutation.method == "random")
    )
    neutral = dataclasses.replace(recipe, precision=None, activations=None)
    rest = to_plain(neutral) | {
        "weights": _widthless(recipe.weights),
        "seed": recipe.seed if draws else 0,  # otherwise only the method `random` draws
        "evaluation": [recipe.evaluation.text, recipe.evaluation.windows, recipe.evaluation.length],
        "model": [to_plain(recipe.model), report.environment.model_digest],
        "data": report.environment.data.get("evaluation text", ""),
    }
    return tuple(digest([rest, item])[:12] for item in inputs)


def _widthless(part: Any) -> dict[str, Any]:
    """Weights or activations without their width."""
    return to_plain(part) | {"format": FORMATS[part.format].kind}
