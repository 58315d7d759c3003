"""Comparison groups: runs that differ in nothing but how a bit budget was spent.

Of one group are runs of the same network, text, scales and rounding, scored on the same tokens.
They may differ in the method, the budget and its rules, the pins, and the formats allowed. Runs
without a budget, all layers alike, take part beside them: they are where budgets begin and end.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cache.digest import digest
from qcore.formats.format import FORMATS
from qcore.recipe import Precision, Recipe, titles
from qcore.recipe.titles import formats_label, title_of
from qcore.report.index import Index
from qcore.report.summary import Summary
from qcore.serialization import to_plain


@dataclass(frozen=True, slots=True)
class ComparisonGroup:
    """Runs that can be compared bit for bit.

    Attributes:
        key: names it, the same after a restart.
        runs: newest first; at least one has a budget.
    """

    key: str
    runs: tuple[Summary, ...]

    @property
    def budgeted(self) -> list[Summary]:
        """The runs that had a budget or pins, newest first."""
        return [run for run in self.runs if run.recipe.precision is not None]

    @property
    def recipe(self) -> Recipe:
        """What new runs of the group start from: the newest one with a budget."""
        return self.budgeted[0].recipe

    @property
    def part(self) -> Precision:
        """How the newest run spent its budget."""
        return _part(self.budgeted[0])

    @property
    def asked(self) -> list[Recipe]:
        """The different questions to sensitivities that its runs would ask, richest first."""
        distinct: dict[Any, Recipe] = {}
        for run in self.budgeted:
            part = _part(run)
            distinct.setdefault((part.formats, part.probe, part.shared), run.recipe)
        return sorted(distinct.values(), key=_richness, reverse=True)

    @property
    def label(self) -> str:
        """`tiny – MXFP4/8 weights and inputs · RTN · absmax – LAMBADA evaluation · 8 × 512 …`."""
        names = {name for run in self.budgeted for name in _part(run).formats}
        what = formats_label(list(names)) + (
            " weights and inputs" if self.recipe.activations else " weights"
        )
        title = title_of(dataclasses.replace(self.recipe, precision=None))
        how = [word for word in title.split(" · ") if not word.startswith(("W ", "A "))]
        model = self.runs[0].model
        return f"{model} – {' · '.join([what, *how])} – {titles.evaluation_label(self.recipe)}"


class Groups:
    """The comparison groups of an index, found anew whenever it changes; threads may share it."""

    def __init__(self, index: Index):
        self._index = index
        self._lock = threading.Lock()
        self._stamp: int | None = None
        self._keys: dict[str, tuple[str, ...]] = {}
        self._found: list[ComparisonGroup] = []

    def all(self) -> list[ComparisonGroup]:
        """All of them, that of the newest run with a budget first; to be read, not written."""
        with self._lock:
            stamp = self._index.stamp
            if stamp != self._stamp:
                runs = self._index.summaries()
                known = self._keys
                self._keys = {run.id: known.get(run.id) or keys(run) for run in runs}
                self._found = _grouped(runs, self._keys)
                self._stamp = stamp
            return self._found


def groups(runs: Iterable[Summary]) -> list[ComparisonGroup]:
    """The comparison groups among these runs, that of the newest run with a budget first."""
    newest = sorted(runs, key=lambda run: run.created, reverse=True)
    return _grouped(newest, {run.id: keys(run) for run in newest})


def keys(run: Summary) -> tuple[str, ...]:
    """The keys of the groups in which a run takes part; none where its weights stay in float."""
    recipe = run.recipe
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
        "model": [to_plain(recipe.model), run.model_digest],
        "data": run.text_digest,
    }
    return tuple(digest([rest, item])[:12] for item in inputs)


def _grouped(
    newest: Sequence[Summary], keys_of: Mapping[str, tuple[str, ...]]
) -> list[ComparisonGroup]:
    members: dict[str, list[Summary]] = {}
    for run in newest:
        for key in keys_of[run.id]:
            members.setdefault(key, []).append(run)
    wanted = dict.fromkeys(key for r in newest if r.recipe.precision for key in keys_of[r.id])
    return [ComparisonGroup(key, tuple(members[key])) for key in wanted]


def _part(run: Summary) -> Precision:
    part = run.recipe.precision
    assert part is not None
    return part


def _richness(recipe: Recipe) -> tuple[int, int]:
    part = recipe.precision
    assert part is not None
    return len(part.formats), part.probe.windows * part.probe.length


def _widthless(part: Any) -> dict[str, Any]:
    """Weights or activations without their width."""
    return to_plain(part) | {"format": FORMATS[part.format].kind}
