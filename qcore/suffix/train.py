"""Train on whole suffixes.

Teacher forcing: at every step the decoder reads the true previous activity. The loss is the mean
cross-entropy over all events of all suffixes and one end each; after the end there is no loss, as
there are no more steps. Every target weighs the same: batches hold equally many, and where an epoch
draws a few of a case's prefixes, each stands for as many as it was drawn from. AdamW, gradients
clipped by norm. After each epoch the validation cases give the same loss without dropout; the
weights of the best epoch are kept, and training stops after `patience` epochs without a better one.
Validation scores a running average of the weights (Polyak), which swings less from epoch to epoch
than the weights themselves.

An epoch's shuffling and dropout come from (seed, epoch) alone, so a training that was interrupted
and resumed ends in the same weights as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from qcore.errors import InvalidRecipe, NumericalError
from qcore.suffix.batches import Batch, Prefixes, batches
from qcore.suffix.cells import Tap
from qcore.suffix.encoding import Encoded
from qcore.suffix.model import SuffixNetwork


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How to train.

    Attributes:
        epochs: at most.
        patience: epochs without a better validation loss before stopping.
        rows: prefixes per batch, about.
        per_case: prefixes that an epoch draws from a case at most, new ones each epoch. The work
            on a case grows with the square of its length, what can be learned from it does not.
        rate: AdamW's learning rate, falling to a tenth over `epochs` by a half cosine.
        decay: AdamW's weight decay.
        clip: greatest gradient norm.
        averaging: share of the old average kept at each step; 0 scores the weights themselves.
        unknown: share of input activities replaced by the unknown one, which trains its embedding.
        seed: of weights, shuffling and dropout.

    Raises:
        InvalidRecipe: a value outside its range.
    """

    epochs: int = 100
    patience: int = 10
    rows: int = 256
    per_case: int = 16
    rate: float = 5e-3
    decay: float = 1e-2
    clip: float = 1.0
    averaging: float = 0.98
    unknown: float = 0.005
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "patience", "rows", "per_case"):
            if getattr(self, name) < 1:
                raise InvalidRecipe(f"{name} is {getattr(self, name)}", remedy="choose at least 1")
        for name in ("rate", "clip"):
            if not getattr(self, name) > 0:
                raise InvalidRecipe(
                    f"{name} is {getattr(self, name)}", remedy="choose a number above 0"
                )
        for name in ("decay", "averaging", "unknown"):
            if not 0 <= getattr(self, name) < 1:
                raise InvalidRecipe(
                    f"{name} is {getattr(self, name)}", remedy="choose 0 to below 1"
                )

    def to_json(self) -> dict[str, int | float]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave: losses in nats per target (events and ends), seconds since the start."""

    number: int
    training: float
    validation: float
    best: bool
    seconds: float


@dataclass(slots=True, eq=False)
class Progress:
    """All that a training needs to go on: see `qcore.suffix.checkpoint` for keeping it.

    Attributes:
        network: as the last epoch left it.
        average: running averages of its weights, by name.
        moments: AdamW's two moments of each weight, by name.
        steps: optimizer steps done.
        best: averages of the best epoch so far, by name; empty before the first.
        history: one entry per epoch done.
    """

    network: SuffixNetwork
    average: dict[str, Tensor]
    moments: dict[str, tuple[Tensor, Tensor]]
    steps: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)

    def finished(self, training: TrainingPlan) -> bool:
        """Whether patience or epochs have run out."""
        if len(self.history) >= training.epochs:
            return True
        since = 0
        for epoch in self.history:
            since = 0 if epoch.best else since + 1
        return since >= training.patience

    def best_network(self) -> SuffixNetwork:
        """A network with the best epoch's weights, for inference."""
        network = SuffixNetwork(self.network.shape)
        network.load_state_dict(self.best or self.average)
        return network.eval()


def begin(make: Callable[[], SuffixNetwork], training: TrainingPlan) -> Progress:
    """Fresh weights and moments; `make` draws the weights from torch's seeded generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network = make()
    named = {name: p.detach() for name, p in network.named_parameters()}
    return Progress(
        network,
        {name: p.clone() for name, p in named.items()},
        {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in named.items()},
    )


def train(
    progress: Progress,
    training: TrainingPlan,
    encoded: Encoded,
    learn: Prefixes,
    validate: Prefixes,
    *,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
    on_batch: Callable[[int, int, float], None] = lambda epoch, rows, loss: None,
) -> SuffixNetwork:
    """Train from `progress` until patience or epochs run out; gives the best epoch's network.

    Args:
        progress: changed in place; new from `begin`, or loaded.
        training: how.
        encoded: holds the cases of both sets.
        learn: prefixes to learn from.
        validate: prefixes of other cases, to stop by.
        on_epoch: called after each epoch; may save, draw, or raise to stop.
        on_batch: called after each step with the epoch's number, its rows so far and their loss.

    Raises:
        NumericalError: the loss is no longer finite.
    """
    network = progress.network
    optimizer = _optimizer(progress, training)
    before = progress.history[-1].seconds if progress.history else 0.0
    began = time.perf_counter()
    while not progress.finished(training):
        number = len(progress.history) + 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed * 1_000_003 + number)
            _set_rate(optimizer, training, number)
            loss = _epoch(progress, optimizer, training, encoded, learn, number, on_batch)
        scored = evaluate(_with(network, progress.average), encoded, validate, rows=training.rows)
        best = scored < min((e.validation for e in progress.history), default=float("inf"))
        if best:
            progress.best = {name: p.clone() for name, p in progress.average.items()}
        seconds = before + time.perf_counter() - began
        progress.history.append(Epoch(number, loss, scored, best, seconds))
        on_epoch(progress)
    return progress.best_network()


def evaluate(
    network: SuffixNetwork, encoded: Encoded, asked: Prefixes, *, rows: int = 1024
) -> float:
    """Mean cross-entropy, nats per target, without dropout."""
    network.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in batches(encoded, asked, rows=rows):
            losses = target_losses(network, batch)
            total += float(losses.sum(dtype=torch.float64))
            count += int((batch.targets.ge(0) & batch.targets.le(network.end)).sum())
    return total / max(1, count)


def target_losses(
    network: SuffixNetwork,
    batch: Batch,
    *,
    unknown: float = 0.0,
    tap: Tap | None = None,
) -> Float[Tensor, " targets"]:
    """Cross-entropy of every target of a batch, step by step; 0 where the target is unknown.

    Args:
        network: in training mode if dropout is wanted.
        batch: rows sorted by suffix length.
        unknown: share of input activities to replace by the unknown one.
        tap: sees every matrix's input (`qcore.suffix.cells`).
    """
    logits, targets = teacher_forced(network, batch, unknown=unknown, tap=tap)
    return nn.functional.cross_entropy(
        logits, targets.masked_fill(targets > network.end, -100), reduction="none"
    )


def teacher_forced(
    network: SuffixNetwork,
    batch: Batch,
    *,
    unknown: float = 0.0,
    tap: Tap | None = None,
) -> tuple[Float[Tensor, "targets activities+1"], Int[Tensor, " targets"]]:
    """Logits of every step of every row while true activities are read, with their targets.

    Ordered by step, then by row; rows whose suffix has ended are left out.
    """
    encoder_input = _replace(batch.activity, unknown, network.unknown)
    memory, states = network.encode(encoder_input, batch.times, tap)
    memory, states = network.begin(memory, states, batch.case, batch.length)
    last = batch.activity[batch.case, batch.length - 1]
    inputs = torch.cat([last[:, None], batch.targets[:, :-1].clamp(min=0)], 1)
    inputs = _replace(inputs.clamp(max=network.unknown), unknown, network.unknown)
    embedded = network.embed(inputs.T, tap).unbind()  # steps of (rows, embedding)
    tops, targets = [], []
    rows = len(last)
    reach = batch.length.cummax(0).values.tolist()  # no row before this one attends further
    for at, running in enumerate(batch.running):
        if running < rows:
            rows = running
            memory = memory.first(rows, reach[rows - 1])
            states = [tuple(part[:rows] for part in state) for state in states]
        states, _ = network.step(embedded[at][:rows], states, memory, tap)
        tops.append(states[-1][0])
        targets.append(batch.targets[:rows, at])
    return network.logits(torch.cat(tops), tap), torch.cat(targets)


def _replace(tokens: Tensor, share: float, unknown: int) -> Tensor:
    if share <= 0:
        return tokens
    return torch.where(torch.rand(tokens.shape) < share, unknown, tokens)


def _epoch(
    progress: Progress,
    optimizer: torch.optim.AdamW,
    training: TrainingPlan,
    encoded: Encoded,
    learn: Prefixes,
    number: int,
    on_batch: Callable[[int, int, float], None],
) -> float:
    """One pass over the training prefixes; the mean loss a target."""
    network = progress.network.train()
    random = np.random.default_rng([training.seed, number])
    total, count, rows = 0.0, 0.0, 0
    keep = training.averaging
    drawn = learn.draw(training.per_case, random)
    weights = drawn.weights(learn)
    packs = batches(encoded, drawn, rows=training.rows, random=random, weights=weights)
    for batch in packs:
        losses = target_losses(network, batch, unknown=training.unknown)
        row = torch.from_numpy(weights[batch.prefix.numpy()]).to(losses)
        weight = torch.cat([row[:running] for running in batch.running])
        loss = (losses * weight).sum() / weight.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), training.clip)
        optimizer.step()
        progress.steps += 1
        # A young average has seen little: it follows the weights more closely (Adam's correction).
        share = min(keep, 1 - 1 / progress.steps)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                progress.average[name].lerp_(parameter, 1 - share)
        heavy = float(weight.sum())
        total, count = total + loss.item() * heavy, count + heavy
        rows += len(batch.case)
        on_batch(number, rows, loss.item())
    if not np.isfinite(total):
        raise NumericalError(
            f"the loss of epoch {number} is {total / count}",
            remedy="train with a smaller learning rate",
        )
    return total / count


def _optimizer(progress: Progress, training: TrainingPlan) -> torch.optim.AdamW:
    """AdamW over the network's weights that writes its moments into `progress.moments`."""
    named = dict(progress.network.named_parameters())
    optimizer = torch.optim.AdamW(named.values(), lr=training.rate, weight_decay=training.decay)
    for name, parameter in named.items():
        first, second = progress.moments[name]
        optimizer.state[parameter] = {
            "step": torch.tensor(float(progress.steps)),
            "exp_avg": first,
            "exp_avg_sq": second,
        }
    return optimizer


def _set_rate(optimizer: torch.optim.AdamW, training: TrainingPlan, number: int) -> None:
    gone = (number - 1) / training.epochs
    rate = training.rate * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * gone)))
    for group in optimizer.param_groups:
        group["lr"] = float(rate)


def _with(network: SuffixNetwork, weights: dict[str, Any]) -> SuffixNetwork:
    other = SuffixNetwork(network.shape)
    other.load_state_dict(weights)
    return other


def describe(history: Iterable[Epoch]) -> list[dict[str, float | int | bool]]:
    """History as JSON."""
    return [asdict(epoch) for epoch in history]
