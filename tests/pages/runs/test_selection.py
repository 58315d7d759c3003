"""Clicking a point changes no figure; whatever else changes one shows what is selected."""

from __future__ import annotations

import pytest

from pages._ui.runs.selection import Drawn, next_drawn

A, B, NONE = frozenset("a"), frozenset("b"), frozenset()
PLAIN = Drawn("view", NONE)


def test_a_click_leaves_the_figure_as_it_is():
    assert next_drawn(PLAIN, "view", A, A) == PLAIN
    assert next_drawn(PLAIN, "view", A | B, A | B) == PLAIN
    assert next_drawn(PLAIN, "view", NONE, NONE) == PLAIN


@pytest.mark.parametrize("last", [None, PLAIN, Drawn("view", B), Drawn("another", NONE)])
def test_a_selection_from_elsewhere_is_ringed(last):
    assert next_drawn(last, "view", NONE, A).rings == A


def test_another_view_rings_what_plotly_has_forgotten():
    assert next_drawn(PLAIN, "by bytes", A, A) == Drawn("by bytes", A)


def test_a_click_beside_rings_moves_them():
    after = next_drawn(Drawn("view", B), "view", A, A)
    assert after == Drawn("view", A)
    assert next_drawn(after, "view", NONE, A) == after, "and the next run is at rest"


def test_what_the_table_unselects_is_not_left_marked_by_the_chart():
    after = next_drawn(PLAIN, "view", A, NONE)
    assert after.rings == NONE
    assert after.generation != PLAIN.generation
    assert next_drawn(after, "view", NONE, NONE) == after
