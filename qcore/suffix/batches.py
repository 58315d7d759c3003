"""Batches of prefixes without waste.

A row is a prefix (case, k) with its suffix as target. Cases are shuffled, sorted by length within
large chunks, and cut into batches, so the cases of a batch are of similar length and still change
from epoch to epoch. The encoder passes over each case once. The rows of a batch are sorted by
suffix length, longest first: after t steps the rows still running are the first ones, and the
decoder goes on with those alone.

Batches to learn from are of equally many targets, not rows: each is one step, with a mean over its
targets. Were they of equally many rows, a target of a short case would weigh as much as several of
a long one, and since every case has one end, the network would believe in ends too soon.

Attention holds rows × prefix × hidden numbers a step for the backward pass. A batch whose steps
together would hold too many (cases of hundreds of events) is cut into parts by rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from qcore.suffix.encoding import Encoded

CHUNK = 16
"""Batches among whose cases the sorting by length happens."""
ATTENDED = 400_000
"""Most (decoder step, prefix position) pairs in one part: 100 MB at 64 float32 each."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Cases, and rows over them.

    Attributes:
        activity: of whole cases, padded on the right, `[cases, time]`.
        times: standardised features, `[cases, time, 6]`.
        case: index into the batch's cases, a row each.
        length: k, a row each; rows are sorted by suffix length, longest first.
        targets: the suffix and then the end (A, for A activities), a row each; −1 after the end,
            A + 1 for an activity never seen in training, which no output stands for.
        prefix: the row's number within all prefixes asked for.
    """

    activity: Int[Tensor, "cases time"]
    times: Float[Tensor, "cases time 6"]
    case: Int[Tensor, " rows"]
    length: Int[Tensor, " rows"]
    targets: Int[Tensor, "rows steps"]
    prefix: Int[Tensor, " rows"]

    @property
    def running(self) -> list[int]:
        """Rows that have a target at step t."""
        return (self.targets >= 0).sum(0).tolist()


@dataclass(frozen=True, slots=True)
class Prefixes:
    """Every prefix asked for, as indices into an encoded log; one row each."""

    case: np.ndarray
    length: np.ndarray

    def __len__(self) -> int:
        return len(self.case)

    def of(self, cases: Sequence[int] | np.ndarray) -> Prefixes:
        """The prefixes of some cases."""
        chosen = np.isin(self.case, cases)
        return Prefixes(self.case[chosen], self.length[chosen])

    def weights(self, of: Prefixes) -> np.ndarray:
        """How many prefixes of its case each of these, drawn from `of`, stands for."""
        every = np.bincount(of.case, minlength=1)
        here = np.bincount(self.case, minlength=len(every))
        return every[self.case] / here[self.case]

    def draw(self, per_case: int, random: np.random.Generator) -> Prefixes:
        """At most `per_case` prefixes of each case, by chance, in the same order."""
        order = np.lexsort((random.random(len(self)), self.case))
        case = self.case[order]
        first = np.searchsorted(case, case)
        chosen = np.sort(order[np.arange(len(order)) - first < per_case])
        return Prefixes(self.case[chosen], self.length[chosen])


def targets_per_epoch(encoded: Encoded, asked: Prefixes, per_case: int) -> int:
    """Events and ends that one epoch predicts, on average over what it draws.

    Known before training begins; times the seconds per target of the first batches it says how
    long an epoch takes.
    """
    targets = encoded.lengths[asked.case] - asked.length + 1
    prefixes = np.bincount(asked.case, minlength=len(encoded))
    share = np.minimum(1, per_case / np.maximum(prefixes, 1))
    return round(float((targets * share[asked.case]).sum()))


def prefixes(encoded: Encoded, *, least: int = 2, empty_suffixes: bool = False) -> Prefixes:
    """All prefixes of `least` events or more, case by case, short ones first.

    Args:
        encoded: the cases.
        least: events that a prefix has at least (k ≥ 2 in the field's protocol).
        empty_suffixes: whether the whole case, with nothing left to predict, counts as one.
    """
    counts = np.maximum(encoded.lengths - least + (1 if empty_suffixes else 0), 0)
    case = np.repeat(np.arange(len(encoded)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return Prefixes(case, np.arange(len(case)) - first + least)


def batches(
    encoded: Encoded,
    asked: Prefixes,
    *,
    rows: int,
    random: np.random.Generator | None = None,
    weights: np.ndarray | None = None,
) -> Iterator[Batch]:
    """Batches of about `rows` prefixes.

    Args:
        encoded: holds the cases.
        asked: the prefixes.
        rows: of a batch; on average where there is a generator.
        random: shuffles, and cuts batches of about equally heavy targets; longest first if None.
        weights: of a target of each prefix; all alike if None.
    """
    cases, place, counts = np.unique(asked.case, return_inverse=True, return_counts=True)
    loads, size = counts, float(rows)
    if random is not None:
        heavy = (encoded.lengths[asked.case] - asked.length + 1) * (
            1 if weights is None else weights
        )
        loads = np.bincount(place, weights=heavy)
        size = rows * loads.sum() / max(1, len(asked))
    starts = [0, *np.cumsum(counts).tolist()]
    order = np.arange(len(cases))
    if random is not None:
        order = random.permutation(order)
    lengths = encoded.lengths[cases]
    chunk = CHUNK if random is not None else 1 << 30
    packs: list[np.ndarray] = []
    for part in _cut(order, loads, size * chunk):
        packs += _cut(part[np.argsort(-lengths[part], kind="stable")], loads, size)
    if random is not None:
        packs = [packs[i] for i in random.permutation(len(packs))]
    for pack in packs:
        index = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in pack])
        yield from _parts(encoded, asked, index)


def _cut(order: np.ndarray, loads: np.ndarray, size: float) -> list[np.ndarray]:
    """Pieces of `order` with loads of about `size` each."""
    piece = (np.cumsum(loads[order]) - 1) // size
    return np.split(order, np.flatnonzero(np.diff(piece)) + 1) if len(order) else []


def _parts(encoded: Encoded, asked: Prefixes, index: np.ndarray) -> Iterator[Batch]:
    case, length = asked.case[index], asked.length[index]
    steps = encoded.lengths[case] - length + 1
    order = np.argsort(-steps, kind="stable")
    held = np.cumsum(steps[order] * length[order].max())
    for piece in np.split(order, np.flatnonzero(np.diff(held // ATTENDED)) + 1):
        yield _batch(encoded, case[piece], length[piece], index[piece])


def _batch(encoded: Encoded, case: np.ndarray, length: np.ndarray, prefix: np.ndarray) -> Batch:
    used, row = np.unique(case, return_inverse=True)
    longest = int(length.max())
    activity, times = encoded.padded(used, longest)
    whole = encoded.lengths[case]
    steps = int((whole - length).max()) + 1
    at = length[:, None] + np.arange(steps)
    flat = np.minimum(encoded.starts[case][:, None] + at, len(encoded.activity) - 1)
    event = encoded.activity[flat].astype(np.int64)
    event = np.where(event == encoded.unknown, encoded.unknown + 1, event)
    targets = np.where(at < whole[:, None], event, np.where(at == whole[:, None], encoded.end, -1))
    return Batch(
        torch.from_numpy(activity),
        torch.from_numpy(times),
        torch.from_numpy(row),
        torch.from_numpy(length),
        torch.from_numpy(targets),
        torch.from_numpy(prefix),
    )
