"""Solvers that sessions share: no table is ever answered with another's numbers."""

from __future__ import annotations

import dataclasses

from pages._ui.bits import engine
from qcore.explore.groups import groups
from qcore.report import metrics
from qcore.report.summary import Summary
from tests.explore.factories import layer_sizes, mixed_report, recipe_of, sensitivities


def test_two_tables_of_one_group_are_solved_apart():
    (group,) = groups([Summary.of(mixed_report(recipe_of()))])
    small, large = (sensitivities(layer_sizes(blocks)) for blocks in (2, 3))
    other = dataclasses.replace(large, kl=large.kl[::-1], loss=large.loss[::-1])
    score = metrics.quality("kl")
    cases = [engine.case(group, score, table, group.part, 5.0) for table in (small, large, other)]
    for table, case in zip((small, large, other), cases, strict=True):
        assert set(case.solved.formats) == {layer.name for layer in table.layers}
        assert case.stored_bytes > 0
    assert cases[1].solved.formats != cases[2].solved.formats
