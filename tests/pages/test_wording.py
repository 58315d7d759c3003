"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from pages._ui import wording


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (wording.size(84_300_000), "84.3 MB"),
        (wording.size(999), "999 B"),
        (wording.duration(200), "3 min 20 s"),
        (wording.duration(3900), "1 h 05 min"),
        (wording.duration(0.44), "0.4 s"),
        (wording.duration(None), "–"),
        (wording.significant(30.357), "30.36"),
        (wording.significant(123456.0), "123,456"),
        (wording.significant(0.00001234), "1.23e-05"),
        (wording.significant(math.nan), "–"),
        (wording.interval(29.111, 31.8), "[29.11, 31.80]"),
        (wording.ago(0, 200_000), "2 days ago"),
        (wording.count(1204, "run"), "1,204 runs"),
    ],
)
def test_numbers_are_written_as_people_read_them(said, meant):
    assert said == meant
