"""What an error may say: bounded, on one line, and nothing that a terminal obeys."""

from __future__ import annotations

import pickle

import pytest

from qcore.errors import LONGEST, DataError, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – text, ÷ and 日本", "plain – text, ÷ and 日本"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("evil\u202egpj.exe", r"evil\u202egpj.exe"),
        ("half \ud800 pair", r"half \ud800 pair"),
        ("\x9b2J", r"\x9b2J"),
    ],
)
def test_controls_are_written_out(text, shown):
    assert printable(text) == shown


def test_fact_and_remedy_are_bounded_and_say_what_is_missing():
    error = DataError("x" * 748_000, remedy="y" * 748_000)
    assert len(error.fact) <= LONGEST
    assert len(str(error)) <= 2 * LONGEST + 2
    assert "characters more" in error.fact


def test_an_error_survives_a_process_pool_unchanged():
    error = DataError("a\x1bb", remedy="c")
    again = pickle.loads(pickle.dumps(error))
    assert (again.fact, again.remedy) == (error.fact, error.remedy)
