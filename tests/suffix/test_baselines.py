from __future__ import annotations

import numpy as np
import pytest

from qcore.errors import InvalidRecipe
from qcore.suffix.baselines import Lookup, Markov
from qcore.suffix.batches import Prefixes
from qcore.suffix.metrics import similarity
from qcore.suffix.process import (
    best_similarity,
    best_suffix,
    futures,
    simulate,
    traces,
)
from tests.suffix.factories import encoded_of


def after(encoded, case, length):
    return Prefixes(np.array([case]), np.array([length]))


def letters(encoder, suffix):
    return "".join(encoder.names(suffix))


def test_lookup_gives_the_most_frequent_continuation_of_the_whole_prefix():
    encoder, encoded, asked = encoded_of(["ABCD", "ABCD", "ABD", "XBX", "XBX", "XBX"])
    learned = asked.of(range(6))
    (found,) = Lookup(encoded, learned).predict(after(encoded, 0, 2))
    assert letters(encoder, found) == "CD"


def test_lookup_falls_back_to_the_longest_recent_match():
    encoder, encoded, asked = encoded_of(["XABC", "XABC", "YBD", "YBD", "YBD", "ZABC"])
    learned = asked.of(range(5))
    (found,) = Lookup(encoded, learned).predict(after(encoded, 5, 3))
    assert letters(encoder, found) == "C"  # after AB, though B alone is oftener followed by D


def test_lookup_without_any_match_gives_the_most_frequent_suffix():
    encoder, encoded, asked = encoded_of(["ABC", "ABC", "ABD", "XYZ"])
    (found,) = Lookup(encoded, asked.of([0, 1, 2])).predict(after(encoded, 3, 2))
    assert letters(encoder, found) == "C"


def test_markov_follows_a_chain_that_has_no_choice():
    encoder, encoded, asked = encoded_of(["ABCDE", "ABCDE"])
    (found,) = Markov(encoded, asked, 10).predict(after(encoded, 0, 2))
    assert letters(encoder, found) == "CDE"


def test_markov_forgets_all_but_the_last_activity():
    _, encoded, asked = encoded_of(["ABCX", "DBCY", "ABCX", "DBCY"])
    first, second = Markov(encoded, asked, 10).predict(Prefixes(np.array([0, 1]), np.array([2, 2])))
    assert first == second


def test_markov_gives_no_empty_suffix_unless_it_may():
    _, encoded, asked = encoded_of(["ABB", "AB", "AB", "AB", "ABB"])
    assert all(len(s) for s in Markov(encoded, asked, 5).predict(asked))


def test_the_process_has_the_probabilities_that_it_declares():
    possible = traces()
    assert sum(possible.values()) == pytest.approx(1)
    express = sum(chance for trace, chance in possible.items() if "Express route" in trace)
    assert express == pytest.approx(0.4)
    by_air = sum(
        chance
        for trace, chance in possible.items()
        if "Express route" in trace and "Ship by air" in trace
    )
    assert by_air / express == pytest.approx(0.9)
    repaired = sum(trace.count("Repair") * chance for trace, chance in possible.items())
    assert repaired == pytest.approx(0.35 + 0.35**2 + 0.35**3)


def test_a_simulated_log_draws_the_declared_traces():
    log = simulate(3000, seed=1)
    possible = traces()
    drawn = [tuple(log.names[i] for i in trace) for trace in log.traces()]
    assert set(drawn) <= set(possible)
    likeliest = max(possible, key=lambda trace: possible[trace])
    chance = possible[likeliest]
    error = np.sqrt(chance * (1 - chance) / 3000)
    assert abs(drawn.count(likeliest) / 3000 - chance) < 5 * error
    assert (simulate(3000, seed=1).seconds == log.seconds).all()
    assert log.notes == ()
    for begin, stop in zip(log.starts, log.starts[1:], strict=False):
        assert (np.diff(log.seconds[begin:stop]) >= 0).all()


def test_the_best_suffix_is_best_among_all_short_strings():
    suffixes = {(1, 2): 0.4, (2, 1): 0.3, (1, 3): 0.3}
    found, reached = best_suffix(suffixes)
    strings = [(a,) for a in (1, 2, 3)]
    strings += [(*s, a) for s in strings for a in (1, 2, 3)]
    strings += [(*s, a) for s in strings for a in (1, 2, 3)]
    means = {s: sum(p * similarity(s, t) for t, p in suffixes.items()) for s in strings}
    assert reached == pytest.approx(max(means.values()))
    assert means[found] == pytest.approx(reached)


def test_no_counting_predictor_passes_the_processs_best():
    best = best_similarity()
    assert 0.7 < best < 0.9
    assert sum(chance for chance, _ in futures(2)) == pytest.approx(
        sum(chance * (len(trace) - 2) for trace, chance in traces().items())
    )


def test_a_log_of_one_simulated_case_is_refused():
    with pytest.raises(InvalidRecipe, match="1 cases are no log"):
        simulate(1)
