"""The token view: text stays text, colours follow the values, the worst come first."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from pages._ui.compare.tokens import drawn, markup, scale_of, style, worst

HOSTILE = '<img src=x onerror="alert(1)">'


def test_tokens_are_text_whatever_they_contain():
    made = markup([HOSTILE, "</span>", "&amp;"], [0.0, 1.0, 2.0], scale_of([1.0], signed=False), "")
    assert "<img" not in made
    assert made.count("<span") == made.count("</span>") == 3
    assert "&amp;amp;" in made


def test_breaks_blanks_and_controls_can_be_seen():
    assert drawn("a\n\tb\x07") == "a⏎\n⇥b⟨07⟩"
    assert drawn("\u202e") == "⟨202e⟩"
    assert drawn("") == "⋯", "a part of the next token's character"


def test_a_token_that_runs_from_right_to_left_does_not_turn_its_neighbours():
    made = markup(["a", "שלום", "b"], [0.0] * 3, scale_of([1.0], signed=False), "")
    assert 'dir="ltr"' in made
    assert "unicode-bidi:isolate" in style("#aa0000", "#0000aa")


def test_the_chosen_token_is_framed():
    made = markup(["a", "b"], [0.0, 1.0], scale_of([1.0], signed=False), "", marked=1)
    assert made.count(' at"') == 1
    assert made.index(">a<") < made.index(' at"')


def test_colours_deepen_with_the_value_and_a_signed_scale_has_two_hues():
    scale = scale_of([x / 100 for x in range(-100, 101)], signed=True)
    steps = list(scale.steps([0.0, 0.6, 0.8, 0.995, 1.0]))
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[-1] == 5
    fall, rise = scale.steps([-0.8, 0.8])
    assert fall == -rise


def test_tokens_without_any_difference_have_no_colour():
    scale = scale_of([0.0] * 50, signed=False)
    assert list(scale.steps([0.0])) == [0]
    assert 't0"' in markup(["a"], [0.0], scale, "nats")


def test_a_value_that_is_no_number_is_the_deepest_and_breaks_nothing():
    scale = scale_of([1.0, 2.0, math.nan], signed=False)
    assert list(scale.steps([math.inf, math.nan])) == [5, 5]
    assert list(scale_of([], signed=False).steps([1.0])) == [0]


def test_the_worst_tokens_come_first_with_their_context():
    pieces = [["The ", "cat ", "sat"], ["on ", "it ", "all"]]
    values = np.array([[0.1, 3.0, 0.2], [5.0, math.nan, -1.0]])
    table = worst(pieces, values, 2)
    assert list(table["Token"]) == ["on ", "cat "]
    row = table.iloc[1]
    assert (row["Before"], row["After"], row["Window"], row["Place"]) == ("The ", "sat", 1, 3)
    assert len(worst(pieces, values, 20)) == 5, "what is no number is no row"
    assert list(worst([], np.zeros((0, 3))).columns) == list(table.columns)


def test_every_step_has_a_rule():
    sheet = style("#aa0000", "#0000aa")
    assert {int(n) for n in re.findall(r"\.t(\d)", sheet)} == {1, 2, 3, 4, 5}
    assert sheet.count("{") == sheet.count("}")
    assert "http" not in sheet


@pytest.mark.parametrize("count", [2048])
def test_a_long_window_stays_small(count):
    pieces, values = [" word"] * count, [i / count for i in range(count)]
    made = markup(pieces, values, scale_of(values, signed=False), "nats")
    assert len(made) < 150_000
