from __future__ import annotations

import numpy as np
import torch

from qcore.suffix.beam import beam_search, choose
from qcore.suffix.decode import Limits
from qcore.suffix.metrics import similarities
from qcore.suffix.tuning import argmax_limit, beam_limit, reach
from tests.suffix.factories import WORDS, encoded_of, network_of


def cases(words=WORDS * 2):
    _, encoded, asked = encoded_of(words)
    truth = [encoded.suffix(c, k) for c, k in zip(asked.case, asked.length, strict=True)]
    return encoded, asked, truth


def test_an_argmax_that_never_ends_is_cut_where_most_suffixes_end():
    encoded, asked, truth = cases(["ABC"] * 9 + ["ABCBCBCB"])
    network = network_of(3)
    with torch.no_grad():
        network.output.zero_()
        network.output_bias[:] = torch.tensor([0.0, 0.0, 9.0, 0.0])  # "C", again and again
    assert reach(encoded, asked) == 6
    assert argmax_limit(network, encoded, asked, asked, truth) == 1


def test_the_beams_limit_and_alpha_give_what_they_promise():
    encoded, asked, truth = cases()
    for seed in range(3):
        network = network_of(4, seed=seed)
        with torch.no_grad():
            network.output_bias[network.end] += 3  # something ends within every limit
        longest, alpha, promised = beam_limit(network, encoded, asked, asked, truth)
        found = beam_search(network, encoded, asked, Limits(longest))
        given = similarities([choose(each, alpha) for each in found], truth).mean()
        assert np.isclose(given, promised)
