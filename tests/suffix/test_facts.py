"""A log at a glance, and one running case."""

import numpy as np
import pytest

from qcore.errors import DataError
from qcore.suffix.encoding import learn_encoder
from qcore.suffix.facts import facts_of
from qcore.suffix.logs.event_log import event_log
from qcore.suffix.model import Shape, SuffixNetwork
from qcore.suffix.prefix import forecast, running_case
from qcore.suffix.process import simulate


def test_facts_of_a_log_that_can_be_counted_by_hand():
    cases = ["a"] * 3 + ["b"] * 3 + ["c"] * 2
    names = ["x", "y", "z", "x", "y", "z", "x", "x"]
    found = facts_of(event_log(cases, names, np.arange(8.0)))
    assert (found.cases, found.events, found.variants) == (3, 8, 2)
    assert found.common == pytest.approx(2 / 3)
    assert found.lengths == ((2, 1), (3, 2))
    x, y, z = found.activities
    assert (x.events, x.begins, x.ends) == (4, 3, 1)
    assert (y.place, z.place, z.ends) == (1.0, 2.0, 2)
    assert found.follows == ((0, 1, 2), (1, 2, 2), (0, 0, 1))


def test_what_may_follow_a_prefix_adds_up():
    log = simulate(60)
    encoder = learn_encoder(log)
    network = SuffixNetwork(Shape(len(encoder.vocabulary), hidden=8, embedding=8))
    names = ["Receive order", "Express route", "never seen"]
    told = forecast(network, *running_case(encoder, names, [0.0, 60.0, 120.0]), 6, 6)
    assert told.attention.shape == (len(told.likeliest) + 1, 3)
    assert np.allclose(told.attention.sum(1), 1)
    chances = [np.exp(each.log_probability) for each in told.beam]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) <= 1 + 1e-6
    assert 0 <= told.expected[1] <= 1


@pytest.mark.parametrize(
    ("names", "seconds", "fact"),
    [
        (["a"], [0.0], "the prefix has 1 event"),
        (["a", "b"], [0.0], "2 activities have 1 times"),
        (["a", "b"], [5.0, 1.0], "earlier than the one before it"),
    ],
)
def test_prefixes_that_are_none_are_refused(names: list[str], seconds: list[float], fact: str):
    encoder = learn_encoder(simulate(20))
    with pytest.raises(DataError, match=fact):
        running_case(encoder, names, seconds)
