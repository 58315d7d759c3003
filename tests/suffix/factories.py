"""Small logs, encodings and networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from qcore.suffix.batches import Prefixes, prefixes
from qcore.suffix.encoding import Encoded, Encoder, learn_encoder
from qcore.suffix.logs.event_log import EventLog, event_log
from qcore.suffix.model import Shape, SuffixNetwork

WORDS = ("ABCD", "ABD", "ACBD", "ABBCD", "AD", "ABCBCD")


def log_of(words: Sequence[str] = WORDS) -> EventLog:
    """One case a word, one event a letter, an hour apart."""
    cases = [f"case {i}" for i, word in enumerate(words) for _ in word]
    letters = [letter for word in words for letter in word]
    seconds = [1.7e9 + 86_400 * i + 3600 * t for i, w in enumerate(words) for t in range(len(w))]
    return event_log(cases, letters, np.array(seconds))


def encoded_of(words: Sequence[str] = WORDS) -> tuple[Encoder, Encoded, Prefixes]:
    """A log learned and encoded whole, with all its prefixes."""
    log = log_of(words)
    encoder = learn_encoder(log)
    encoded = encoder.encode(log)
    return encoder, encoded, prefixes(encoded)


def network_of(activities: int, seed: int = 0, **changes) -> SuffixNetwork:
    """A tiny network in evaluation mode, weights drawn at random and made large."""
    torch.manual_seed(seed)
    sizes = {"embedding": 4, "hidden": 5, "attention": 3, "layers": 2, "dropout": 0.0}
    network = SuffixNetwork(Shape(activities, **{**sizes, **changes}))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    return network.eval()
