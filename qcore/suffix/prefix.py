"""One running case: what the network makes of it, suffix by suffix, and what it looks at."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from qcore.errors import DataError
from qcore.suffix.batches import Prefixes
from qcore.suffix.beam import Hypothesis, beam_search
from qcore.suffix.cells import Tap
from qcore.suffix.decode import Limits, argmax, least_expected_distance, sample, starts
from qcore.suffix.encoding import Encoded, Encoder
from qcore.suffix.logs.event_log import event_log
from qcore.suffix.model import SuffixNetwork

LEAST = 2
"""Events of a prefix at least, as in training."""


@dataclass(frozen=True, slots=True, eq=False)
class Continuations:
    """What may follow a prefix.

    Attributes:
        likeliest: the likeliest activity at every step.
        expected: the suffix of least expected distance, and its expected similarity.
        beam: finished suffixes, likeliest first.
        attention: weights over the prefix at every step of `likeliest`, the end's included,
            `[steps, events]`; each row sums to 1.
    """

    likeliest: list[int]
    expected: tuple[list[int], float]
    beam: list[Hypothesis]
    attention: Float[np.ndarray, "steps events"]


def running_case(
    encoder: Encoder, activities: Sequence[str], seconds: Sequence[float]
) -> tuple[Encoded, Prefixes]:
    """A case that has come so far, encoded.

    Args:
        encoder: of the network that is to read it.
        activities: in order; names that training never saw are read as unknown.
        seconds: of each event since 1970, not falling.

    Raises:
        DataError: fewer than 2 events, a number of times that is another, or times that fall.
    """
    if len(activities) < LEAST:
        raise DataError(
            f"the prefix has {len(activities)} event{'s' if len(activities) != 1 else ''}",
            remedy=f"give at least {LEAST}, as the network was trained on such",
        )
    if len(seconds) != len(activities):
        raise DataError(
            f"{len(activities)} activities have {len(seconds)} times",
            remedy="give each event one time, or none at all",
        )
    if any(later < earlier for earlier, later in itertools.pairwise(seconds)):
        raise DataError("an event is earlier than the one before it", remedy="sort the events")
    log = event_log(["case"] * len(activities), list(activities), np.asarray(seconds, float))
    return encoder.encode(log), Prefixes(np.array([0]), np.array([len(activities)]))


def forecast(
    network: SuffixNetwork,
    encoded: Encoded,
    asked: Prefixes,
    longest: int,
    reach: int,
    *,
    tap: Tap | None = None,
    width: int = 5,
    samples: int = 40,
) -> Continuations:
    """Everything about one prefix.

    Args:
        network: trained.
        encoded: holds the case.
        asked: one prefix.
        longest: events of a suffix at most.
        reach: events of a sample at most.
        tap: rounds the inputs of the network's matrices.
        width: of the beam.
        samples: behind the least expected distance.
    """
    limits = Limits(longest)
    (likeliest,) = argmax(network, encoded, asked, limits, tap=tap)
    (beam,) = beam_search(network, encoded, asked, limits, width=width, tap=tap)
    (drawn,) = sample(network, encoded, asked, Limits(reach), samples=samples, tap=tap)
    expected = least_expected_distance(drawn, [likeliest])
    return Continuations(
        likeliest, expected, beam, attention(network, encoded, asked, likeliest, tap=tap)
    )


def attention(
    network: SuffixNetwork,
    encoded: Encoded,
    asked: Prefixes,
    suffix: Sequence[int],
    *,
    tap: Tap | None = None,
) -> Float[np.ndarray, "steps events"]:
    """Where the decoder looks while it writes a suffix and its end after one prefix."""
    with torch.inference_mode():
        (start,) = starts(network.eval(), encoded, asked, rows=1, tap=tap)
        token, states = start.token, start.states
        rows = []
        for following in [*suffix, network.end]:
            states, weights = network.step(token, states, start.memory, tap)
            rows.append(weights[0].numpy())
            token = torch.tensor([min(following, network.unknown)])
    return np.stack(rows)
