from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from qcore.errors import BrokenCheckpoint, InvalidRecipe, NumericalError
from qcore.suffix.batches import Prefixes, batches
from qcore.suffix.checkpoint import load_network, load_progress, save_network, save_progress
from qcore.suffix.decode import Limits, argmax
from qcore.suffix.model import Shape, SuffixNetwork
from qcore.suffix.train import TrainingPlan, begin, evaluate, target_losses, train
from tests.suffix.factories import encoded_of, network_of

WORDS = ["ABCD", "ABD", "ACBD", "ABBCD"] * 4
SHAPE = Shape(4, embedding=8, hidden=16, attention=8, layers=1)
SHORT = TrainingPlan(epochs=4, patience=4, rows=16, rate=2e-2, averaging=0.5)


def fresh(training=SHORT):
    return begin(lambda: SuffixNetwork(SHAPE), training)


def split(asked):
    return asked.of(range(0, 12)), asked.of(range(12, 16))


def test_the_loss_is_the_cross_entropy_of_each_event_and_one_end():
    _, encoded, asked = encoded_of(["ABCD", "ABD"])
    network = network_of(4)
    total = count = 0
    for prefix in range(len(asked)):
        alone = Prefixes(asked.case[[prefix]], asked.length[[prefix]])
        (batch,) = batches(encoded, alone, rows=1)
        losses = target_losses(network, batch)
        suffix = encoded.suffix(asked.case[prefix], asked.length[prefix])
        assert len(losses) == len(suffix) + 1
        total, count = total + losses.sum().item(), count + len(losses)
    assert evaluate(network, encoded, asked) == pytest.approx(total / count, rel=1e-5)


def test_an_unknown_target_costs_nothing():
    _, encoded, asked = encoded_of(["ABCD", "ABD"])
    network = network_of(4)
    (batch,) = batches(encoded, asked.of([1]), rows=1)
    batch.targets[0, 0] = network.end + 1
    assert target_losses(network, batch)[0] == 0
    assert target_losses(network, batch)[1] > 0


def test_training_learns_a_rule_it_can_know():
    # what stood first decides the end, three events later
    words = ["ABCBX", "DBCBY"] * 12
    _, encoded, asked = encoded_of(words)
    training = TrainingPlan(epochs=20, patience=20, rows=16, rate=3e-2, averaging=0.8)
    progress = begin(lambda: SuffixNetwork(replace(SHAPE, activities=6)), training)
    network = train(progress, training, encoded, asked.of(range(16)), asked.of(range(16, 24)))
    # who forgot the first activity pays ln 2 in each of a case's 3 suffixes
    ignorance = math.log(2) * 3 / (4 + 3 + 2)
    assert progress.history[-1].validation < ignorance / 2
    predicted = argmax(network, encoded, asked, Limits(5))
    true = [encoded.suffix(c, k) for c, k in zip(asked.case, asked.length, strict=True)]
    assert predicted == true


def test_training_leaves_a_network_that_ends_cases_as_often_as_they_end():
    # every event but the end is the same, so the network can know nothing but how often one comes
    lengths = 2 + np.random.default_rng(0).geometric(0.1, 120)
    _, encoded, asked = encoded_of(["A" * (n - 1) + "B" for n in lengths])
    steps = encoded.lengths[asked.case] - asked.length + 1
    true = len(asked) / steps.sum()  # of B and of the end: each comes once in a suffix
    training = TrainingPlan(epochs=3, patience=3, rows=64, rate=1e-2, averaging=0.5, per_case=8)
    shape = Shape(2, embedding=2, hidden=2, attention=2, layers=1, dropout=0.0)
    progress = begin(lambda: SuffixNetwork(shape), training)
    with torch.no_grad():  # deaf to what it reads, and begun at the truth, it must stay there
        progress.network.output.zero_()
        progress.network.output.requires_grad_(False)
        progress.network.output_bias[:] = torch.tensor([1 - 2 * true, true, true]).log()
    train(progress, training, encoded, asked, asked)
    found = torch.softmax(progress.network.output_bias, 0)
    assert found[progress.network.end].item() == pytest.approx(true, rel=0.15)


def test_training_stops_when_patience_runs_out_and_keeps_the_best_epoch():
    _, encoded, asked = encoded_of(WORDS)
    training = replace(SHORT, epochs=100, patience=2, rate=0.1)
    progress = fresh(training)
    network = train(progress, training, encoded, *split(asked))
    losses = [epoch.validation for epoch in progress.history]
    assert len(losses) < 100
    assert len(losses) - 1 - losses.index(min(losses)) == 2
    assert evaluate(network, encoded, split(asked)[1]) == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_resumed_training_ends_in_the_weights_of_one_never_stopped(tmp_path, cell):
    encoder, encoded, asked = encoded_of(WORDS)

    def make():
        return SuffixNetwork(replace(SHAPE, cell=cell, dropout=0.2))

    whole = begin(make, SHORT)
    train(whole, SHORT, encoded, *split(asked))

    class Stop(Exception):
        pass

    def save(progress):
        save_progress(tmp_path, progress, SHORT, encoder)
        if len(progress.history) == 2:
            raise Stop

    with pytest.raises(Stop):
        train(begin(make, SHORT), SHORT, encoded, *split(asked), on_epoch=save)
    resumed = load_progress(tmp_path, SHORT, encoder)
    assert resumed is not None
    assert len(resumed.history) == 2
    network = train(resumed, SHORT, encoded, *split(asked))
    for name, value in whole.best_network().state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    assert [e.validation for e in resumed.history] == [e.validation for e in whole.history]


def test_a_saved_network_answers_as_before(tmp_path):
    encoder, encoded, asked = encoded_of()
    network = network_of(4)
    save_network(tmp_path, network, encoder)
    loaded, loaded_encoder = load_network(tmp_path)
    assert loaded_encoder == encoder
    assert evaluate(loaded, encoded, asked) == evaluate(network, encoded, asked)


def test_the_best_network_is_there_while_training_goes_on(tmp_path):
    encoder, encoded, asked = encoded_of(WORDS)
    progress = fresh()
    train(
        progress,
        SHORT,
        encoded,
        *split(asked),
        on_epoch=lambda p: save_progress(tmp_path, p, SHORT, encoder),
    )
    loaded, _ = load_network(tmp_path)
    best = min(epoch.validation for epoch in progress.history)
    assert evaluate(loaded, encoded, split(asked)[1]) == pytest.approx(best, rel=1e-5)


def test_live_losses_arrive_batch_by_batch():
    _, encoded, asked = encoded_of(WORDS)
    seen = []
    train(
        fresh(),
        replace(SHORT, epochs=1),
        encoded,
        *split(asked),
        on_batch=lambda *facts: seen.append(facts),
    )
    assert [epoch for epoch, _, _ in seen] == [1] * len(seen)
    assert seen[-1][1] == len(split(asked)[0])
    assert all(math.isfinite(loss) for _, _, loss in seen)


def kept(tmp_path):
    encoder, encoded, asked = encoded_of(WORDS)
    progress = fresh()
    train(progress, replace(SHORT, epochs=1), encoded, *split(asked))
    save_progress(tmp_path, progress, SHORT, encoder)
    return encoder


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path):
    assert load_progress(tmp_path, SHORT, encoded_of()[0]) is None


def test_a_training_with_other_settings_is_not_resumed(tmp_path):
    encoder = kept(tmp_path)
    with pytest.raises(InvalidRecipe, match=r"rate = 0.02, this one 0.5"):
        load_progress(tmp_path, replace(SHORT, rate=0.5), encoder)
    with pytest.raises(InvalidRecipe, match="other cases"):
        load_progress(tmp_path, SHORT, replace(encoder, mean=(0.0,) * 6))
    assert load_progress(tmp_path, replace(SHORT, epochs=9), encoder) is not None


@pytest.mark.parametrize("name", ["training.json", "training.safetensors"])
def test_a_truncated_training_is_refused(tmp_path, name):
    encoder = kept(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BrokenCheckpoint, match="cannot be read"):
        load_progress(tmp_path, SHORT, encoder)


def test_a_writer_killed_between_its_two_files_is_noticed(tmp_path):
    encoder = kept(tmp_path)
    old = (tmp_path / "training.safetensors").read_bytes()
    progress = load_progress(tmp_path, SHORT, encoder)
    assert progress is not None
    progress.history.append(progress.history[-1])
    save_progress(tmp_path, progress, SHORT, encoder)
    (tmp_path / "training.safetensors").write_bytes(old)
    with pytest.raises(BrokenCheckpoint, match="weights of epoch 1 stand beside losses of 2"):
        load_progress(tmp_path, SHORT, encoder)


def test_a_network_whose_tensors_do_not_fit_is_refused(tmp_path):
    encoder, _, _ = encoded_of()
    save_network(tmp_path, network_of(4), encoder)
    other = tmp_path / "other"
    save_network(other, network_of(4, hidden=6), encoder)
    (other / "network.safetensors").replace(tmp_path / "network.safetensors")
    with pytest.raises(BrokenCheckpoint, match="the shape asks for"):
        load_network(tmp_path)


def test_a_network_of_another_version_is_refused(tmp_path):
    encoder, _, _ = encoded_of()
    save_network(tmp_path, network_of(4), encoder)
    path = tmp_path / "network.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 99'))
    with pytest.raises(BrokenCheckpoint, match="version 99"):
        load_network(tmp_path)


def test_a_loss_that_leaves_the_numbers_is_an_error():
    _, encoded, asked = encoded_of(WORDS)
    progress = fresh()
    with torch.no_grad():
        progress.network.output_bias.fill_(float("nan"))
    with pytest.raises(NumericalError, match="loss of epoch 1 is nan"):
        train(progress, SHORT, encoded, *split(asked))


@pytest.mark.parametrize(
    "changes",
    [{"epochs": 0}, {"rate": 0.0}, {"rate": float("nan")}, {"averaging": 1.0}, {"per_case": 0}],
)
def test_impossible_trainings_are_refused(changes):
    with pytest.raises(InvalidRecipe, match="choose"):
        replace(SHORT, **changes)
