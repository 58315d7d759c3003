from __future__ import annotations

import numpy as np
import pytest

from qcore.errors import BrokenCheckpoint
from qcore.suffix.batches import batches, prefixes, targets_per_epoch
from qcore.suffix.encoding import FEATURES, Encoder, learn_encoder
from qcore.suffix.logs.event_log import event_log
from tests.suffix.factories import WORDS, encoded_of, log_of


def test_features_are_standardised_on_the_training_cases_alone():
    log = log_of(["ABCD", "ABD", "ACD"])
    late = log_of(["ABCD", "ABD", "ACD"])
    late.seconds[7:] += 1e8
    train = [0, 1]
    encoder, other = (learn_encoder(each.select(train)) for each in (log, late))
    assert encoder == other
    times = encoder.encode(log.select(train)).times
    np.testing.assert_allclose(times.mean(0), 0, atol=1e-5)
    varied = [FEATURES.index(name) for name in ("midnight", "hour", "since_start")]
    np.testing.assert_allclose(times[:, varied].std(0), 1, rtol=1e-4)


def test_the_six_features_are_those_of_the_calendar():
    # Saturday 2024-03-02 13:30, an event 2 hours after the case began and 1 after the last one
    begin = np.datetime64("2024-03-02T11:30:00").astype("datetime64[s]").astype(float)
    log = event_log(["1"] * 3 + ["2"] * 2, list("ABCAB"), begin + 3600 * np.array([0, 1, 2, 0, 1]))
    plain = Encoder(("A", "B", "C"), (0.0,) * 6, (1.0,) * 6)
    found = plain.encode(log).times[2]
    wanted = [13.5 * 3600, 2, 5, 13, np.log1p(3600), np.log1p(7200)]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_activities_that_training_never_saw_are_unknown_and_differ_from_all():
    log = log_of(["ABC", "ABB", "AXY"])
    encoder = learn_encoder(log.select([0, 1]))
    encoded = encoder.encode(log)
    assert encoder.vocabulary == ("A", "B", "C")
    assert encoded.activity[-2:].tolist() == [3, 3]
    first, second = encoded.codes[-2:].tolist()
    assert first != second
    assert min(first, second) > encoded.unknown


def test_every_prefix_of_two_or_more_has_a_suffix_that_is_not_empty():
    _, encoded, _ = encoded_of(["ABCD", "AB", "ABC"])
    asked = prefixes(encoded)
    assert list(zip(asked.case, asked.length, strict=True)) == [(0, 2), (0, 3), (2, 2)]
    whole = prefixes(encoded, empty_suffixes=True)
    assert len(whole) == 6
    assert encoded.suffix(1, 2) == []


def test_batches_hold_every_prefix_once_with_its_own_suffix():
    _, encoded, asked = encoded_of(WORDS * 5)
    seen = []
    for batch in batches(encoded, asked, rows=7, random=np.random.default_rng(0)):
        steps = (batch.targets >= 0).sum(1)
        assert (steps.diff() <= 0).all()
        for row, prefix in enumerate(batch.prefix.tolist()):
            case, length = asked.case[prefix], asked.length[prefix]
            wanted = [*encoded.suffix(case, length), encoded.end]
            assert batch.targets[row, : steps[row]].tolist() == wanted
            begin = encoded.starts[case]
            held = batch.activity[batch.case[row], :length].tolist()
            assert held == encoded.activity[begin : begin + length].tolist()
            seen.append(prefix)
    assert sorted(seen) == list(range(len(asked)))


def test_long_cases_are_cut_into_parts_that_fit(monkeypatch):
    monkeypatch.setattr("qcore.suffix.batches.ATTENDED", 500)
    _, encoded, asked = encoded_of(["AB" * 20, "ABC"])
    parts = list(batches(encoded, asked, rows=100))
    assert len(parts) > 5
    assert sum(len(part.case) for part in parts) == len(asked)


def test_an_unknown_activity_in_a_suffix_is_no_target():
    log = log_of(["ABC", "ABB", "ABXB"])
    encoded = learn_encoder(log.select([0, 1])).encode(log)
    (batch,) = batches(encoded, prefixes(encoded).of([2]), rows=9)
    assert batch.targets[0].tolist() == [encoded.unknown + 1, 1, encoded.end]


def test_drawn_prefixes_are_at_most_so_many_a_case():
    _, _, asked = encoded_of(["ABCDABCDABCD", "ABC", "ABCD"])
    drawn = asked.draw(3, np.random.default_rng(0))
    assert np.bincount(drawn.case).tolist() == [3, 1, 2]
    again = asked.draw(3, np.random.default_rng(1))
    assert drawn.length.tolist() != again.length.tolist()


def test_an_epochs_work_is_known_before_it_begins():
    _, encoded, asked = encoded_of(["ABCDABCDABCD", "ABC", "ABCD"])
    # suffixes of 10 to 1 events and their ends; 2; 3 + 2
    assert targets_per_epoch(encoded, asked, 100) == sum(range(2, 12)) + 2 + 5
    drawn = [
        int((encoded.lengths[some.case] - some.length + 1).sum())
        for some in (asked.draw(3, np.random.default_rng(seed)) for seed in range(400))
    ]
    assert np.mean(drawn) == pytest.approx(targets_per_epoch(encoded, asked, 3), rel=0.02)


def test_an_encoder_survives_json():
    encoder, _, _ = encoded_of()
    assert Encoder.from_json(encoder.to_json()) == encoder


@pytest.mark.parametrize("broken", [{}, {"vocabulary": ["A"], "mean": [0], "deviation": [1]}])
def test_a_broken_encoder_is_refused(broken):
    with pytest.raises(BrokenCheckpoint):
        Encoder.from_json(broken)


def test_every_step_of_an_epoch_sees_equally_many_targets():
    # of equally many rows, batches of short cases would have half the targets of long ones
    words = ["ABC"] * 300 + ["ABCDABCD"] * 60
    _, encoded, asked = encoded_of(words)
    found = [
        int((batch.targets >= 0).sum())
        for batch in batches(encoded, asked, rows=40, random=np.random.default_rng(0))
    ]
    assert sum(found) == int((encoded.lengths[asked.case] - asked.length + 1).sum())
    assert np.std(sorted(found)[2:]) < 0.2 * np.mean(found)


def test_drawn_prefixes_stand_for_those_that_were_not_drawn():
    _, _, asked = encoded_of(["ABC", "ABCDABCD"])
    drawn = asked.draw(2, np.random.default_rng(0))
    weights = drawn.weights(asked)
    assert weights.sum() == len(asked)
    assert set(weights[drawn.case == 0]) == {1.0}
    assert set(weights[drawn.case == 1]) == {3.0}
