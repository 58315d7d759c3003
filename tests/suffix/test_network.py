from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qcore.errors import InvalidRecipe
from qcore.suffix.batches import Prefixes, batches
from qcore.suffix.cells import Recurrent
from qcore.suffix.matrices import matrices, second_moments, with_weights
from qcore.suffix.model import Shape
from qcore.suffix.train import teacher_forced
from tests.suffix.factories import WORDS, encoded_of, network_of

CELLS = ["gru", "lstm"]


def untouched(name, x):
    return x


@pytest.mark.parametrize("cell", CELLS)
def test_a_layer_gives_what_torchs_own_layer_gives(cell):
    torch.manual_seed(0)
    ours = Recurrent(cell, 3, 4, "layer")
    theirs = (nn.GRU if cell == "gru" else nn.LSTM)(3, 4, batch_first=True)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(theirs, f"{name}_l0").copy_(getattr(ours, name))
    x = torch.randn(5, 7, 3)
    wanted, last = theirs(x)
    for tap in (None, untouched):
        found = ours.run(x, tap)
        torch.testing.assert_close(found[0], wanted, rtol=0, atol=1e-6)
        if cell == "lstm":
            torch.testing.assert_close(found[1][:, -1], last[1][0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_the_explicit_path_gives_the_fast_paths_logits(cell):
    _, encoded, asked = encoded_of(WORDS * 3)
    network = network_of(4, cell=cell)
    for batch in batches(encoded, asked, rows=20):
        fast, _ = teacher_forced(network, batch)
        explicit, _ = teacher_forced(network, batch, tap=untouched)
        torch.testing.assert_close(explicit, fast, rtol=0, atol=2e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_a_prefix_has_the_same_logits_alone_as_among_longer_cases(cell):
    _, encoded, asked = encoded_of(["ABCDABCD", "ABD", "ABCD", "ACBDAB"])
    network = network_of(4, cell=cell)
    together = {}
    for batch in batches(encoded, asked, rows=100):
        logits, _ = teacher_forced(network, batch)
        steps = (batch.targets >= 0).sum(1).max()
        assert len(logits) == (batch.targets >= 0).sum()
        for time, part in enumerate(
            logits.split([(batch.targets[:, t] >= 0).sum() for t in range(steps)])
        ):
            for row, value in enumerate(part):
                together[int(batch.prefix[row]), time] = value
    for prefix in range(len(asked)):
        alone = Prefixes(asked.case[[prefix]], asked.length[[prefix]])
        (batch,) = batches(encoded, alone, rows=1)
        logits, _ = teacher_forced(network, batch)
        for time, value in enumerate(logits):
            torch.testing.assert_close(value, together[prefix, time], rtol=0, atol=2e-6)


def test_attention_gives_no_weight_beyond_the_prefix():
    _, encoded, _ = encoded_of(["ABCDABCD", "ACDB"])
    network = network_of(4)
    activity, times = (torch.from_numpy(part) for part in encoded.padded(np.array([0, 1]), 8))
    memory, states = network.encode(activity, times)
    memory, states = network.begin(memory, states, torch.tensor([0, 0, 1]), torch.tensor([5, 2, 3]))
    _, weights = network.step(torch.tensor([0, 1, 2]), states, memory)
    assert weights.shape == (3, 5)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert (weights[1, 2:] == 0).all()
    assert (weights[2, 3:] == 0).all()
    assert (weights[0] > 0).all()


def test_what_comes_after_a_prefix_does_not_touch_it():
    _, first, _ = encoded_of(["ABCDAB", "ACDB"])
    _, second, _ = encoded_of(["ABCBBB", "ACDB"])
    network = network_of(4)
    rows = []
    for encoded in (first, second):
        (batch,) = batches(encoded, Prefixes(np.array([0]), np.array([2])), rows=1)
        rows.append(teacher_forced(network, batch)[0][0])
    assert torch.equal(*rows)


@pytest.mark.parametrize("cell", CELLS)
def test_every_matrix_is_named_and_every_tap_names_a_matrix(cell):
    _, encoded, asked = encoded_of()
    network = network_of(4, cell=cell)
    named = matrices(network)
    moments = second_moments(network, batches(encoded, asked, rows=10))
    assert set(moments) == set(named)
    for name, matrix in named.items():
        width = matrix.weight.shape[0 if matrix.kind == "embedding" else 1]
        assert moments[name].shape == (width, width)
        torch.testing.assert_close(moments[name], moments[name].T)
    assert named["decoder.1.weight_hh"].gates == (3 if cell == "gru" else 4)
    assert {matrix.kind for matrix in named.values()} == {"linear", "recurrent", "embedding"}


def test_moments_are_those_of_the_inputs_of_a_product():
    _, encoded, asked = encoded_of()
    network = network_of(4)
    (batch,) = batches(encoded, asked, rows=100)
    inputs = []

    def collect(name, x):
        if name == "output":
            inputs.append(x)
        return x

    logits, _ = teacher_forced(network, batch, tap=collect)
    x = torch.cat(inputs).double()
    torch.testing.assert_close(second_moments(network, [batch])["output"], x.T @ x)
    wanted = x @ network.output.double().T + network.output_bias
    torch.testing.assert_close(logits.double(), wanted, rtol=0, atol=1e-5)


def test_an_embeddings_moments_count_its_look_ups():
    _, encoded, asked = encoded_of(["ABC", "ABB"])
    (batch,) = batches(encoded, asked, rows=10)
    moment = second_moments(network_of(3), [batch])["decoder_embedding"]
    # last activity B twice, then the suffix's C and B
    assert moment.diagonal().tolist() == [0, 3, 1, 0]
    assert moment.sum() == 4


def test_a_tap_may_replace_an_input():
    _, encoded, asked = encoded_of()
    network = network_of(4)
    (batch,) = batches(encoded, asked, rows=100)

    def silence(name, x):
        return x * 0 if name == "output" else x

    logits, _ = teacher_forced(network, batch, tap=silence)
    torch.testing.assert_close(logits, network.output_bias.expand_as(logits))


def test_weights_put_in_are_used_and_the_network_stays_as_it_was():
    _, encoded, asked = encoded_of()
    network = network_of(4)
    (batch,) = batches(encoded, asked, rows=100)
    before = teacher_forced(network, batch)[0]
    same = {name: matrix.weight for name, matrix in matrices(network).items()}
    assert torch.equal(teacher_forced(with_weights(network, same), batch)[0], before)
    halved = with_weights(network, {"encoder.0.weight_hh": network.encoder[0].weight_hh / 2})
    assert not torch.allclose(teacher_forced(halved, batch)[0], before)
    assert torch.equal(teacher_forced(network, batch)[0], before)


def test_weights_that_do_not_fit_are_refused():
    network = network_of(4)
    with pytest.raises(InvalidRecipe, match="no matrix is called 'x'"):
        with_weights(network, {"x": torch.zeros(1, 1)})
    with pytest.raises(InvalidRecipe, match=r"output is \(5, 5\), not \(1, 1\)"):
        with_weights(network, {"output": torch.zeros(1, 1)})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cell": "rnn"}, "unknown cell 'rnn'"),
        ({"activities": 1}, "activities is 1"),
        ({"embedding": 7}, "embedding 7 is odd"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"layers": 0}, "layers is 0"),
    ],
)
def test_impossible_shapes_are_refused(changes, says):
    with pytest.raises(InvalidRecipe, match=says):
        Shape(**{"activities": 5, **changes})
