"""From a trained network to suffixes: the likeliest activity, samples, least expected distance.

All of it is batched over prefixes: the rows of a batch advance together, one event a step, and a
row that has ended leaves the batch.

**Argmax** takes the likeliest activity at every step. **Samples** draw it. **Minimum expected
distance** (minimum Bayes risk) answers the metric rather than the likelihood: among candidate
suffixes it gives the one whose mean similarity to many samples is greatest,

    ŝ = argmax_{c ∈ C} (1/S) Σ_i sim(c, s_i)        s_i ~ p(· | prefix),  C = {s_i} ∪ further ones

which is the best expected similarity that a network with these beliefs can have among C.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from qcore.errors import InvalidRecipe
from qcore.suffix.batches import Prefixes, batches
from qcore.suffix.cells import State, Tap
from qcore.suffix.encoding import Encoded
from qcore.suffix.metrics import similarity_matrix
from qcore.suffix.model import Memory, SuffixNetwork

SHRINK = 0.7
"""Rows are gathered anew when fewer than this share is still running."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a suffix may be.

    Attributes:
        longest: events at most; see `longest_suffix`.
        empty: whether the end may come at once. A running case of the field's protocol has at
            least one more event.
    """

    longest: int
    empty: bool = False

    def __post_init__(self):
        if self.longest < 1:
            raise InvalidRecipe(
                f"suffixes of at most {self.longest} events", remedy="choose at least 1"
            )


def longest_suffix(encoded: Encoded, learned: Prefixes, share: float = 1.0) -> int:
    """Events within which `share` of the training suffixes end: a sensible limit."""
    suffixes = encoded.lengths[learned.case] - learned.length
    return max(1, int(np.quantile(suffixes, share, method="higher"))) if len(suffixes) else 1


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Prefixes read by the encoder, ready to be continued.

    Attributes:
        prefix: which of the prefixes asked for each row is.
        token: the last activity read, a row each.
        states: of each decoder layer.
        memory: for the attention.
    """

    prefix: Int[Tensor, " rows"]
    token: Int[Tensor, " rows"]
    states: list[State]
    memory: Memory

    def pick(self, rows: Int[Tensor, " picked"]) -> Start:
        """Rows by index; an index may come more than once."""
        states = [tuple(part[rows] for part in state) for state in self.states]
        return Start(self.prefix[rows], self.token[rows], states, self.memory.pick(rows))


def starts(
    network: SuffixNetwork, encoded: Encoded, asked: Prefixes, *, rows: int, tap: Tap | None = None
) -> Iterator[Start]:
    """Encode prefixes, about `rows` at a time."""
    for batch in batches(encoded, asked, rows=rows):
        memory, states = network.encode(batch.activity, batch.times, tap)
        memory, states = network.begin(memory, states, batch.case, batch.length)
        token = batch.activity[batch.case, batch.length - 1]
        yield Start(batch.prefix, token, states, memory)


def argmax(
    network: SuffixNetwork,
    encoded: Encoded,
    asked: Prefixes,
    limits: Limits,
    *,
    rows: int = 1024,
    tap: Tap | None = None,
) -> list[list[int]]:
    """The likeliest activity at every step, one suffix a prefix. The end is left out."""
    found: list[list[int]] = [[] for _ in range(len(asked))]
    with torch.inference_mode():
        for start in starts(network.eval(), encoded, asked, rows=rows, tap=tap):
            suffixes = _roll_out(network, start, limits, lambda logits: logits.argmax(1), tap)
            for prefix, suffix in zip(start.prefix.tolist(), suffixes, strict=True):
                found[prefix] = suffix
    return found


def sample(
    network: SuffixNetwork,
    encoded: Encoded,
    asked: Prefixes,
    limits: Limits,
    *,
    samples: int = 40,
    temperature: float = 1.0,
    seed: int = 0,
    rows: int = 4096,
    tap: Tap | None = None,
) -> list[list[list[int]]]:
    """`samples` suffixes of each prefix, drawn from the network's own probabilities.

    Args:
        network: trained.
        encoded: holds the prefixes' cases.
        asked: the prefixes.
        limits: of a suffix.
        samples: per prefix.
        temperature: divides the logits; below 1 draws likelier suffixes.
        seed: of the draws; equal seeds give equal samples.
        rows: samples advanced together.
        tap: sees every matrix's input.

    Raises:
        InvalidRecipe: fewer than 1 sample, or a temperature of 0 or less.
    """
    if samples < 1 or not temperature > 0:
        raise InvalidRecipe(
            f"{samples} samples at temperature {temperature}",
            remedy="choose at least 1 sample and a temperature above 0",
        )
    random = torch.Generator().manual_seed(seed)

    def draw(logits: Tensor) -> Tensor:
        chances = torch.softmax(logits / temperature, 1)
        return torch.multinomial(chances, 1, generator=random)[:, 0]

    found: list[list[list[int]]] = [[] for _ in range(len(asked))]
    with torch.inference_mode():
        for start in starts(network.eval(), encoded, asked, rows=max(1, rows // samples), tap=tap):
            many = start.pick(torch.arange(len(start.token)).repeat_interleave(samples))
            suffixes = _roll_out(network, many, limits, draw, tap)
            for prefix, suffix in zip(many.prefix.tolist(), suffixes, strict=True):
                found[prefix].append(suffix)
    return found


def least_expected_distance(
    samples: Sequence[Sequence[int]], candidates: Sequence[Sequence[int]] = ()
) -> tuple[list[int], float]:
    """The candidate with the greatest mean similarity to the samples, and that mean.

    Args:
        samples: of one prefix.
        candidates: to consider beside the samples themselves. Earlier ones win ties, samples last.
    """
    drawn = Counter(tuple(each) for each in samples)
    distinct = list(drawn)
    pool = list(dict.fromkeys([*(tuple(each) for each in candidates), *distinct]))
    weight = np.array(list(drawn.values()), dtype=np.float64) / len(samples)
    if len(pool) == 1:
        return list(pool[0]), float(similarity_matrix(pool, distinct)[0] @ weight)
    mean = similarity_matrix(pool, distinct) @ weight
    best = int(mean.argmax())
    return list(pool[best]), float(mean[best])


def _roll_out(
    network: SuffixNetwork,
    start: Start,
    limits: Limits,
    choose: Callable[[Float[Tensor, "rows outputs"]], Int[Tensor, " rows"]],
    tap: Tap | None,
) -> list[list[int]]:
    """One suffix for each row of `start`."""
    rows = len(start.token)
    tokens = torch.full((rows, limits.longest), -1, dtype=torch.int64)
    alive = torch.arange(rows)
    token, states, memory = start.token, start.states, start.memory
    running = torch.ones(rows, dtype=torch.bool)
    for time in range(limits.longest):
        states, _ = network.step(token, states, memory, tap)
        logits = network.logits(states[-1][0], tap)
        if time == 0 and not limits.empty:
            logits[:, network.end] = -torch.inf
        token = choose(logits)
        running &= token != network.end
        going = alive[running]
        tokens[going, time] = token[running]
        if len(going) == 0:
            break
        if len(going) < SHRINK * len(alive):
            kept = running.nonzero()[:, 0]
            states = [tuple(part[kept] for part in state) for state in states]
            token, alive, memory = token[kept], going, memory.pick(kept)
            running = torch.ones(len(kept), dtype=torch.bool)
        else:
            token = token.clamp(max=network.unknown)
    lengths = (tokens >= 0).sum(1).tolist()
    return [row[:n] for row, n in zip(tokens.tolist(), lengths, strict=True)]
