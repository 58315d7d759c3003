"""Tables as text to paste."""

from __future__ import annotations

import math

import pandas as pd

from pages._ui.downloads import as_text

TABLE = pd.DataFrame({"Run": ["a|b", "50 %"], "KL": [0.1234567891, math.nan], "No": [None, "x"]})


def test_numbers_are_rounded_and_what_is_missing_is_a_dash():
    lines = as_text(TABLE, "Markdown").splitlines()
    assert lines[0] == "| Run | KL | No |"
    assert lines[2] == "| a\\|b | 0.123457 | – |"
    assert lines[3] == "| 50 % | – | x |"


def test_latex_is_a_booktabs_table():
    made = as_text(TABLE, "LaTeX")
    assert r"\toprule" in made
    assert r"50 \% & – & x \\" in made


def test_csv_keeps_every_digit():
    assert "0.1234567891" in as_text(TABLE, "CSV")
