from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from qcore.errors import InvalidRecipe
from qcore.suffix.batches import Prefixes, batches
from qcore.suffix.beam import Hypothesis, beam_search, choose, tune, within
from qcore.suffix.decode import Limits, argmax, least_expected_distance, longest_suffix, sample
from qcore.suffix.metrics import similarity
from qcore.suffix.train import target_losses
from tests.suffix.factories import WORDS, encoded_of, network_of

LIMITS = Limits(4)


def log_probability(network, encoded, case, length, suffix):
    """Of a suffix and its end, by teacher forcing: the first event may not be the end."""
    (batch,) = batches(encoded, Prefixes(np.array([case]), np.array([length])), rows=1)
    targets = torch.tensor([[*suffix, network.end]])
    forced = type(batch)(
        batch.activity, batch.times, batch.case, batch.length, targets, batch.prefix
    )
    total = -target_losses(network, forced).sum().item()
    first = type(batch)(
        batch.activity,
        batch.times,
        batch.case,
        batch.length,
        targets * 0 + network.end,
        batch.prefix,
    )
    end_at_once = torch.exp(-target_losses(network, first)[0]).item()
    return total - np.log1p(-end_at_once)


def every_suffix(activities, longest):
    for length in range(1, longest + 1):
        yield from itertools.product(range(activities), repeat=length)


def test_argmax_follows_the_likeliest_step():
    _, encoded, asked = encoded_of()
    network = network_of(4)
    predicted = argmax(network, encoded, asked, LIMITS, rows=7)
    for prefix, suffix in enumerate(predicted):
        assert 1 <= len(suffix) <= 4
        (batch,) = batches(encoded, Prefixes(asked.case[[prefix]], asked.length[[prefix]]), rows=1)
        for time in range(len(suffix)):
            losses = []
            for other in range(network.end + (time > 0)):
                targets = torch.tensor([[*suffix[:time], other]])
                forced = type(batch)(
                    batch.activity, batch.times, batch.case, batch.length, targets, batch.prefix
                )
                losses.append(target_losses(network, forced)[time].item())
            assert int(np.argmin(losses)) == suffix[time]


@pytest.mark.parametrize("decode", [argmax, beam_search, sample])
def test_answers_do_not_depend_on_the_batch(decode):
    _, encoded, asked = encoded_of(WORDS * 2)
    network = network_of(4)
    if decode is sample:
        first = sample(network, encoded, asked, LIMITS, samples=3, seed=1)
        assert first == sample(network, encoded, asked, LIMITS, samples=3, seed=1)
        assert first != sample(network, encoded, asked, LIMITS, samples=3, seed=2)
        return
    together = decode(network, encoded, asked, LIMITS)
    alone = [
        decode(network, encoded, Prefixes(asked.case[[i]], asked.length[[i]]), LIMITS)[0]
        for i in range(len(asked))
    ]
    if decode is beam_search:
        together, alone = (
            [[h.suffix for h in each] for each in all_] for all_ in (together, alone)
        )
    assert together == alone


def test_a_wide_beam_finds_the_likeliest_of_all_suffixes():
    _, encoded, asked = encoded_of(["ABC", "ACB"])
    network = network_of(3, seed=4)
    limits = Limits(3)
    found = beam_search(network, encoded, asked, limits, width=60, pool=1000)
    for prefix, hypotheses in enumerate(found):
        case, length = asked.case[prefix], asked.length[prefix]
        chances = {
            suffix: log_probability(network, encoded, case, length, suffix)
            for suffix in every_suffix(3, 3)
        }
        best = max(chances, key=lambda suffix: chances[suffix])
        ended = {h.suffix: h.log_probability for h in hypotheses}
        assert max(ended, key=lambda suffix: ended[suffix]) == best
        assert any(len(suffix) == 3 for suffix in ended)
        # the beam's first step may choose the end, whose share is not given to the others
        gaps = {chances[suffix] - ended[suffix] for suffix in ended}
        assert max(gaps) - min(gaps) == pytest.approx(0, abs=1e-4)


def test_a_small_pool_changes_no_answer():
    # short suffixes finish first; were the search to end with a full pool, long ones would lose
    _, encoded, asked = encoded_of(WORDS * 2)
    limits = Limits(8)
    for seed in range(4):
        network = network_of(4, seed=seed)
        small, large = (
            beam_search(network, encoded, asked, limits, pool=size) for size in (1, 10_000)
        )
        assert sum(map(len, small)) <= sum(map(len, large))
        for alpha in (0.0, 0.7, 1.0, 2.0):
            assert [choose(h, alpha) for h in small] == [choose(h, alpha) for h in large]


def test_a_lower_limit_finds_what_a_higher_one_holds_within_it():
    _, encoded, asked = encoded_of(WORDS * 2)
    for seed in range(4):
        network = network_of(4, seed=seed)
        whole = beam_search(network, encoded, asked, Limits(8), pool=10_000)
        for longest in (2, 4, 6):
            short = beam_search(network, encoded, asked, Limits(longest), pool=10_000)
            for high, low in zip(whole, short, strict=True):
                if any(len(h.suffix) <= longest for h in high):
                    found = within(high, longest)
                    assert [h.suffix for h in found] == [h.suffix for h in low]


def test_what_the_limit_cuts_never_beats_what_has_ended():
    # without its end a suffix has a greater log-probability than with it
    _, encoded, asked = encoded_of(WORDS * 2)
    seen = 0
    for seed in range(4):
        network = network_of(4, seed=seed)
        for prefix, found in enumerate(beam_search(network, encoded, asked, Limits(2))):
            if all(len(h.suffix) == 2 for h in found):
                continue  # nothing may have ended: then what was cut is all there is
            seen += any(len(h.suffix) == 2 for h in found)
            case, length = asked.case[prefix], asked.length[prefix]
            paid = [log_probability(network, encoded, case, length, h.suffix) for h in found]
            gaps = {p - h.log_probability for p, h in zip(paid, found, strict=True)}
            assert max(gaps) - min(gaps) == pytest.approx(0, abs=1e-4)
    assert seen > 0


def test_a_beam_of_one_with_no_pool_is_argmax():
    _, encoded, asked = encoded_of(WORDS)
    network = network_of(4, seed=2)
    found = beam_search(network, encoded, asked, LIMITS, width=1, pool=1)
    assert [list(h[0].suffix) for h in found] == argmax(network, encoded, asked, LIMITS)


def test_alpha_zero_prefers_probability_and_alpha_one_its_mean():
    short, long = Hypothesis((1,), -2.0), Hypothesis((1, 2, 3), -2.4)
    assert choose([short, long], 0.0) == [1]
    assert choose([short, long], 1.0) == [1, 2, 3]


def test_alpha_is_tuned_to_the_suffixes_it_is_shown():
    pool = [[Hypothesis((1,), -2.0), Hypothesis((1, 2, 3), -2.4)]]
    assert tune(pool, [[1]], (0.0, 1.0)) == (0.0, {0.0: 1.0, 1.0: pytest.approx(1 / 3)})
    assert tune(pool, [[1, 2, 3]], (0.0, 1.0))[0] == 1.0


def test_samples_come_as_often_as_the_network_says():
    _, encoded, asked = encoded_of(["ABC", "ACB"])
    network = network_of(3, seed=1)
    one = Prefixes(asked.case[:1], asked.length[:1])
    drawn = Counter(
        tuple(each) for each in sample(network, encoded, one, Limits(6), samples=4000)[0]
    )
    assert () not in drawn
    whole = [(suffix, count) for suffix, count in drawn.most_common() if len(suffix) < 6]
    for suffix, count in whole[:4]:  # at the limit, what has not ended is cut
        chance = np.exp(log_probability(network, encoded, 0, 2, suffix))
        error = np.sqrt(chance * (1 - chance) / 4000)
        assert abs(count / 4000 - chance) < 5 * error


def test_an_empty_suffix_is_predicted_only_where_it_may_be():
    _, encoded, asked = encoded_of()
    network = network_of(4)
    with torch.no_grad():
        network.output_bias[network.end] = 50.0
    assert all(len(s) == 1 for s in argmax(network, encoded, asked, LIMITS))
    allowed = Limits(4, empty=True)
    assert argmax(network, encoded, asked, allowed) == [[]] * len(asked)
    assert all(h[0].suffix == () for h in beam_search(network, encoded, asked, allowed))


def test_a_network_that_never_ends_stops_at_the_limit():
    _, encoded, asked = encoded_of()
    network = network_of(4)
    with torch.no_grad():
        network.output_bias[network.end] = -1e9
    assert {len(s) for s in argmax(network, encoded, asked, LIMITS)} == {4}
    assert {len(h[0].suffix) for h in beam_search(network, encoded, asked, LIMITS)} == {4}


def test_the_least_expected_distance_is_the_least_of_all_candidates():
    samples = [[1, 2], [1, 2, 3], [1, 2, 3, 3], [2, 1], [1, 2, 3]]
    found, mean = least_expected_distance(samples)
    by_hand = {tuple(c): np.mean([similarity(c, s) for s in samples]) for c in samples}
    assert mean == pytest.approx(max(by_hand.values()))
    assert by_hand[tuple(found)] == pytest.approx(mean)


def test_a_candidate_that_was_never_drawn_may_be_nearest():
    samples = [[2, 2, 3], [1, 3, 3], [1, 2, 4]]
    assert least_expected_distance(samples, [[5], [1, 2, 3]]) == ([1, 2, 3], pytest.approx(2 / 3))
    assert least_expected_distance([[1], [1]]) == ([1], 1.0)


def test_the_limit_is_the_longest_suffix_of_training():
    _, encoded, asked = encoded_of()
    assert longest_suffix(encoded, asked) == 4
    # suffixes of 2 1 · 1 · 2 1 · 3 2 1 · 4 3 2 1 events
    assert longest_suffix(encoded, asked, 0.5) == 2


def test_impossible_decodings_are_refused():
    _, encoded, asked = encoded_of()
    network = network_of(4)
    with pytest.raises(InvalidRecipe, match="0 samples"):
        sample(network, encoded, asked, LIMITS, samples=0)
    with pytest.raises(InvalidRecipe, match="temperature 0"):
        sample(network, encoded, asked, LIMITS, temperature=0)
    with pytest.raises(InvalidRecipe, match="width is 0"):
        beam_search(network, encoded, asked, LIMITS, width=0)
    with pytest.raises(InvalidRecipe, match="at most 0 events"):
        Limits(0)
