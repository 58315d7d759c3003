"""Beam search with a pool of finished suffixes, batched over prefixes.

The beam keeps the `width` likeliest unfinished suffixes of a prefix. An end that is among the
`width` likeliest continuations of a step enters the pool with the suffix's log-probability, the
end's included. There a suffix is ranked by

    score = log p / (events + 1)^α            (Wu et al. 2016, §7, with lp(y) = |y|^α)

α = 0 ranks by probability, which favours short suffixes: a sum of logarithms only falls. α = 1
ranks by the mean. All unfinished suffixes of a step are equally long, so α decides over the pool
alone, and one search serves every α: `choose` applies one, `tune` finds the best on validation
cases. A prefix is done when no unfinished suffix can still overtake the pool's best one for any α
asked for: its log-probability can only fall, and its length is limited. The pool's size does not
end the search; short suffixes finish first and would fill it before the likely lengths are reached.

What reaches the limit on length without an end is no finished suffix: its log-probability lacks the
end's, so its score would beat those that paid for theirs. It is the answer only where nothing else
has ended. So a search with a limit holds all that searches with lower ones find (`within`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qcore.errors import InvalidRecipe
from qcore.suffix.batches import Prefixes
from qcore.suffix.cells import State, Tap
from qcore.suffix.decode import Limits, Start, starts
from qcore.suffix.encoding import Encoded
from qcore.suffix.metrics import similarities
from qcore.suffix.model import SuffixNetwork

ALPHAS = tuple(round(0.1 * i, 1) for i in range(21))
"""0 to 2: what `tune` tries."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished suffix.

    Attributes:
        suffix: activities; the end is left out.
        log_probability: nats, the end included (left out if the limit cut the suffix, which
            happens only where no suffix ended within it).
    """

    suffix: tuple[int, ...]
    log_probability: float

    def score(self, alpha: float) -> float:
        """Log-probability over (events + 1)^α."""
        return self.log_probability / (len(self.suffix) + 1) ** alpha


def beam_search(
    network: SuffixNetwork,
    encoded: Encoded,
    asked: Prefixes,
    limits: Limits,
    *,
    width: int = 5,
    pool: int = 20,
    alphas: Sequence[float] = ALPHAS,
    rows: int = 2048,
    tap: Tap | None = None,
) -> list[list[Hypothesis]]:
    """Each prefix's finished suffixes, likeliest first.

    Args:
        network: trained.
        encoded: holds the prefixes' cases.
        asked: the prefixes.
        limits: of a suffix.
        width: unfinished suffixes kept at each step.
        pool: finished suffixes to keep; beyond them only what is best for some α is kept.
        alphas: for which the pool's best must be final.
        rows: unfinished suffixes advanced together.
        tap: sees every matrix's input.

    Raises:
        InvalidRecipe: a width or a pool below 1, or an α below 0.
    """
    for name, value, least in (("width", width, 1), ("pool", pool, 1), ("α", min(alphas), 0)):
        if value < least:
            raise InvalidRecipe(f"the beam's {name} is {value}", remedy=f"choose at least {least}")
    found: list[list[Hypothesis]] = [[] for _ in range(len(asked))]
    with torch.inference_mode():
        for start in starts(network.eval(), encoded, asked, rows=max(1, rows // width), tap=tap):
            search = _Search(network, start, limits, width, pool, np.array(alphas), tap)
            for prefix, ended in zip(start.prefix.tolist(), search.run(), strict=True):
                found[prefix] = sorted(ended, key=lambda h: -h.log_probability)
    return found


def choose(hypotheses: Sequence[Hypothesis], alpha: float) -> list[int]:
    """The suffix of greatest score."""
    return list(max(hypotheses, key=lambda h: h.score(alpha)).suffix)


def tune(
    found: Sequence[Sequence[Hypothesis]],
    true: Sequence[Sequence[int]],
    alphas: Sequence[float] = ALPHAS,
) -> tuple[float, dict[float, float]]:
    """The α of greatest mean similarity on these (validation) prefixes, and the mean of each."""
    means = {
        alpha: float(similarities([choose(each, alpha) for each in found], true).mean())
        for alpha in alphas
    }
    return max(means, key=lambda alpha: means[alpha]), means


def within(hypotheses: Sequence[Hypothesis], longest: int) -> list[Hypothesis]:
    """Those that a search with a lower limit on length would have found.

    Where nothing ended within it, the likeliest is cut there, which that search would do too
    unless its beam held another likeliest suffix at the limit.
    """
    short = [each for each in hypotheses if len(each.suffix) <= longest]
    if short:
        return short
    likeliest = max(hypotheses, key=lambda each: each.log_probability)
    return [Hypothesis(likeliest.suffix[:longest], likeliest.log_probability)]


class _Search:
    """One batch's search. Rows are prefixes × width; a prefix's rows lie side by side."""

    def __init__(
        self,
        network: SuffixNetwork,
        start: Start,
        limits: Limits,
        width: int,
        pool: int,
        alphas: np.ndarray,
        tap: Tap | None,
    ):
        self.network, self.limits, self.tap = network, limits, tap
        self.width, self.pool, self.alphas = width, pool, alphas
        count = len(start.token)
        self.ended: list[list[Hypothesis]] = [[] for _ in range(count)]
        self.best = np.full((count, len(alphas)), -np.inf)
        self.alive = np.arange(count)
        self.rows = start.pick(torch.arange(count).repeat_interleave(width))
        # Only the first of a prefix's rows counts at first: the others are copies of it.
        self.total = torch.full((count, width), -torch.inf)
        self.total[:, 0] = 0
        self.tokens = torch.zeros(count, width, 0, dtype=torch.int64)

    def run(self) -> list[list[Hypothesis]]:
        for time in range(self.limits.longest + 1):
            states, chances = self._read(time)
            if time == self.limits.longest:
                self._cut()
            else:
                self._grow(time, states, chances)
                if not self._keep_unfinished():
                    break
        return self.ended

    def _read(self, time: int) -> tuple[list[State], Tensor]:
        """What may follow every unfinished suffix of `time` events; what ends goes to the pool."""
        network, width = self.network, self.width
        rows = self.rows
        states, _ = network.step(rows.token, rows.states, rows.memory, self.tap)
        logits = network.logits(states[-1][0], self.tap)
        if time == 0 and not self.limits.empty:
            logits[:, network.end] = -torch.inf
        chances = torch.log_softmax(logits, 1).view(len(self.alive), width, -1)
        chances = chances + self.total[..., None]
        level = chances.flatten(1)
        level = level.topk(min(width, level.shape[1]), 1).values[:, -1:]
        ending = chances[..., network.end]
        self._collect(ending.masked_fill(ending < level, -torch.inf), time)
        return states, chances

    def _grow(self, time: int, states: list[State], chances: Tensor) -> None:
        """One event more for every unfinished suffix."""
        network, width, rows = self.network, self.width, self.rows
        going = chances[..., : network.end].flatten(1)
        if going.shape[1] < width:
            going = torch.nn.functional.pad(going, (0, width - going.shape[1]), value=-torch.inf)
        self.total, place = going.topk(width, 1)
        parent = (place // network.end).clamp(max=width - 1)
        token = place % network.end
        row = (torch.arange(len(self.alive))[:, None] * width + parent).flatten()
        self.tokens = torch.cat(
            [self.tokens.gather(1, parent[..., None].expand(-1, -1, time)), token[..., None]], 2
        )
        picked = [tuple(part[row] for part in state) for state in states]
        self.rows = Start(rows.prefix, token.flatten(), picked, rows.memory)

    def _collect(self, ending: Tensor, time: int) -> None:
        """The pool takes the ends given; −∞ where there is none."""
        worth, order = ending.sort(1, descending=True)
        for i, (scores, beams) in enumerate(zip(worth.tolist(), order.tolist(), strict=True)):
            prefix = self.alive[i]
            normal = scores[0] / (time + 1) ** self.alphas
            # Of equally long suffixes the likeliest is best for every α.
            leads = bool((normal > self.best[prefix]).any())
            self.best[prefix] = np.maximum(self.best[prefix], normal)
            for rank, (score, beam) in enumerate(zip(scores, beams, strict=True)):
                full = len(self.ended[prefix]) >= self.pool
                if score == -np.inf or (full and not (leads and rank == 0)):
                    break
                suffix = tuple(self.tokens[i, beam].tolist())
                self.ended[prefix].append(Hypothesis(suffix, score))

    def _keep_unfinished(self) -> bool:
        """Drop prefixes that are done; whether any is left."""
        likeliest = self.total[:, 0].double().numpy()
        hoped = likeliest[:, None] / (self.limits.longest + 1) ** self.alphas
        undecided = (hoped > self.best[self.alive]).any(1)
        kept = np.flatnonzero(undecided & np.isfinite(likeliest))
        if len(kept) == len(self.alive):
            return True
        index = torch.from_numpy(kept)
        row = (index[:, None] * self.width + torch.arange(self.width)).flatten()
        self.rows = self.rows.pick(row)
        self.total, self.tokens = self.total[index], self.tokens[index]
        self.alive = self.alive[kept]
        return len(kept) > 0

    def _cut(self) -> None:
        """At the limit: what has not ended is a suffix as it is, where nothing else is one."""
        for i, prefix in enumerate(self.alive):
            if self.ended[prefix]:
                continue
            for beam, score in enumerate(self.total[i].tolist()):
                if score > -np.inf:
                    suffix = tuple(self.tokens[i, beam].tolist())
                    self.ended[prefix].append(Hypothesis(suffix, score))
