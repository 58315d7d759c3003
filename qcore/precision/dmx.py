"""dMX: learn which layers need more bits by training one number for each (arXiv 2606.04115).

The network's weights stay as they are. Every unit (a layer, or layers that are fused) has an offset
β̂ that says, through gates (`qcore.precision.continuous`), at which exponent and mantissa widths its
weights and inputs are rounded (`kernels.continuous`). Offsets start at 0, the narrowest format, and
follow the gradient of

    cross-entropy + λ max(0, b̄ − budget)

by SGD with Nesterov momentum, while the gates turn from slopes into switches. b̄ is the mean of the
units' present bits, counted as the recipe's objective and weighting say. A wider layer lowers the
cross-entropy in proportion to ⟨gradient, rounding error⟩; above the budget the penalty asks each
layer for the same reduction per bit that it spends; what comes to rest is wide where width pays.

Offsets are held in [0, 2], which is ours: gates are even in β̂ and flat beyond 2, and momentum would
carry an offset past 0 to the mirror image's wide end, or so far past 2 that nothing brings it back.

Reproducible: the windows of a step follow from its number, and nothing is drawn. `State` holds all
that a step depends on, so a run that continues from one ends where an uninterrupted one does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from kernels.microscaling.values import ScaleRule
from qcore.errors import InvalidRecipe, NumericalError
from qcore.formats.format import Format, named
from qcore.precision.continuous import WIDEST, FormatPath, format_path, temperature
from qcore.precision.fractional import LearnedWidths, rounding
from qcore.precision.layers import LayerSize
from qcore.precision.problem import Problem, problem_of
from qcore.progress import Progress, silent
from qcore.recipe.precision import Precision
from qcore.report.report import Trajectory

CHUNK_LOGITS = 1 << 23
"""Logits made at a time: 32 MB in float32, and as much again for their gradient."""

RECOMPUTED_TOKENS = 2048
"""From so many tokens in a step on, blocks forget their activations and compute them twice."""

RANGE = (0.0, WIDEST)
"""Where offsets are held: one that meets an end stays there and loses its velocity."""

POINTS = 60
"""Of a Trajectory, at most."""


@dataclass(frozen=True, slots=True)
class State:
    """The state of a training after some steps.

    Attributes:
        offsets: β̂ of each free unit.
        velocity: of the momentum.
        losses: cross-entropy of every step so far, nats per token.
        bits: b̄ of every step so far.
        trace: the offsets with which every step so far began.
    """

    offsets: Float[Tensor, " units"]
    velocity: Float[Tensor, " units"]
    losses: Float[Tensor, " done"]
    bits: Float[Tensor, " done"]
    trace: Float[Tensor, "done units"]

    @classmethod
    def start(cls, units: int) -> State:
        """The state before the first step."""
        zeros, none = torch.zeros(units), torch.zeros(0)
        return cls(zeros, zeros, none, none, torch.zeros(0, units))

    @property
    def done(self) -> int:
        """Steps taken so far."""
        return len(self.losses)

    def to_tensors(self) -> dict[str, Tensor]:
        """Tensors by field name, for safetensors."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome of a training.

    Attributes:
        offsets: β̂ by layer name; pinned layers have none.
        formats: what the offsets stand for by layer name, pinned layers included; a budget is met
            only nearly, which `qcore.precision.budget` mends.
        bits: mean bits of these formats.
        settled: share of free units whose gates are all within 0.01 of open or shut.
        trajectory: how it went.
    """

    offsets: dict[str, float]
    formats: dict[str, str]
    bits: float
    settled: float
    trajectory: Trajectory


def train(
    model: PreTrainedModel,
    windows: Int[Tensor, "windows length"],
    layers: Sequence[LayerSize],
    part: Precision,
    *,
    inputs: Format | None = None,
    rule: ScaleRule = "floor",
    state: State | None = None,
    save: Callable[[State], None] | None = None,
    every: int = 10,
    recompute: bool | None = None,
    progress: Progress = silent,
) -> Trained:
    """Learn an offset for every free unit; the model is as before afterwards.

    Args:
        model: the network with its transforms in place, in eval mode, nothing in it learned.
        windows: token ids; a step takes the next `training.batch` of them, round and round.
        layers: the model's, as `layer_sizes` tells them.
        part: budget, formats, constraints and training; its method is not looked at.
        inputs: how inputs are rounded; None leaves them. With `part.shared` only its rule for
            shared exponents counts, and inputs take their weight's width.
        rule: of the weights' shared exponents.
        state: continue from here.
        save: told the state after every `every` steps, and after the last.
        every: see `save`.
        recompute: compute blocks twice rather than keep their activations; by default from 2048
            tokens a step.
        progress: told steps, loss, mean bits and temperature.

    Raises:
        InvalidRecipe: no budget, formats without a path between them, nothing free to learn, a
            budget or pins that cannot be met, a state of another network.
        NumericalError: the loss is not finite.
    """
    if part.budget is None:
        raise InvalidRecipe("dmx needs a budget", remedy="set budget to bits")
    problem = problem_of(layers, part)
    problem.window(part.budget)
    learner = _Learner(problem, part, model.device)
    state = state or State.start(len(learner.free))
    if len(state.offsets) != len(learner.free) or state.done > part.training.steps:
        raise InvalidRecipe(
            f"{state.done} steps for {len(state.offsets)} choices do not continue to "
            f"{part.training.steps} steps for {len(learner.free)}",
            remedy="train from the start",
        )
    tokens = part.training.batch * windows.shape[1]
    with rounding(
        model,
        learner.widths,
        learner.places(layers),
        rule=rule,
        inputs=inputs,
        shared=part.shared,
        recompute=tokens >= RECOMPUTED_TOKENS if recompute is None else recompute,
    ):
        while state.done < part.training.steps:
            state = learner.step(model, _batch(windows, part.training.batch, state.done), state)
            last = state.done == part.training.steps
            if save is not None and (last or state.done % every == 0):
                save(state)
            progress(state.done, part.training.steps, learner.told(state))
    return learner.outcome(state)


class _Learner:
    """The free units of a problem: their path, their bits, and one step of their training."""

    def __init__(self, problem: Problem, part: Precision, device: torch.device):
        self._problem = problem
        self._part = part
        self._path: FormatPath = format_path(part.formats)
        self._device = device
        self.free = [i for i, unit in enumerate(problem.units) if unit.pin is None]
        self.widths = LearnedWidths()
        if not self.free:
            raise InvalidRecipe(
                f"all {len(problem.units)} choices are pinned, and dmx has nothing to learn",
                remedy='remove a pin, or choose the method "manual"',
            )
        bits = [[spent / problem.denominator for spent in row] for row in problem.bits]
        steps = torch.tensor([bits[unit] for unit in self.free]).diff(dim=1)
        self._steps: Float[Tensor, "units steps"] = steps.to(device)
        self._least = problem.mean(problem.narrowest)

    def places(self, layers: Sequence[LayerSize]) -> list[int | Format]:
        """The free unit that each layer belongs to, or the format that it is pinned to."""
        found: dict[str, int | Format] = {}
        for index, unit in enumerate(self._problem.units):
            place = self.free.index(index) if unit.pin is None else named(unit.pin.format)
            found |= dict.fromkeys((layer.name for layer in unit.layers), place)
        return [found[layer.name] for layer in layers]

    def step(self, model: PreTrainedModel, batch: Tensor, state: State) -> State:
        """One step of SGD with Nesterov momentum."""
        training, budget = self._part.training, self._part.budget
        assert budget is not None
        offsets = state.offsets.clone().to(self._device).requires_grad_()
        gates = self._path.gates(offsets, temperature(state.done, training.steps))
        self.widths.set(self._path.widths(gates))
        mean = self._least + (gates * self._steps).sum()
        penalty = training.penalty * (mean - budget).clamp_min(0)
        loss = _backward(model, batch.to(self._device), penalty)
        assert offsets.grad is not None
        grad = offsets.grad.cpu()
        if not math.isfinite(loss) or not bool(grad.isfinite().all()):
            raise NumericalError(
                f"step {state.done} of dmx has a loss of {loss} and a gradient that is not finite",
                remedy="use wider formats, or float32 instead of bfloat16",
            )
        velocity = training.momentum * state.velocity + grad
        moved = state.offsets - training.rate * (grad + training.momentum * velocity)
        offsets = moved.clamp(*RANGE)
        return State(
            offsets,
            velocity.masked_fill(offsets != moved, 0.0),
            torch.cat((state.losses, torch.tensor([loss]))),
            torch.cat((state.bits, mean.detach().cpu()[None])),
            torch.cat((state.trace, state.offsets[None])),
        )

    def told(self, state: State) -> str:
        """Describe the last step in a sentence."""
        now = temperature(state.done - 1, self._part.training.steps)
        return f"loss {state.losses[-1]:.3f}, {state.bits[-1]:.2f} bits, temperature {now:.0f}"

    def outcome(self, state: State) -> Trained:
        """Round the offsets to formats and gather the outcome."""
        units = [self._problem.units[i] for i in self.free]
        formats = {
            layer.name: unit.pin.format if unit.pin else ""
            for unit in self._problem.units
            for layer in unit.layers
        }
        values = state.offsets.tolist()
        formats |= {
            layer.name: self._path.nearest(value)
            for unit, value in zip(units, values, strict=True)
            for layer in unit.layers
        }
        choice = self._problem.narrowest
        for i, value in zip(self.free, values, strict=True):
            choice[i] = self._problem.formats.index(self._path.nearest(value))
        steps = self._part.training.steps
        gates = self._path.gates(state.offsets, temperature(steps - 1, steps))
        settled = ((gates < 0.01) | (gates > 0.99)).all(1).float().mean()
        return Trained(
            {x.name: v for unit, v in zip(units, values, strict=True) for x in unit.layers},
            formats,
            self._problem.mean(choice),
            float(settled),
            self._trajectory(state),
        )

    def _trajectory(self, state: State) -> Trajectory:
        count = min(POINTS, state.done)
        shown = torch.linspace(0, state.done - 1, count).round().long().unique()
        steps = [int(step) for step in shown]
        total = self._part.training.steps
        units = [self._problem.units[i] for i in self.free]
        offsets = {
            layer.name: tuple(round(value, 4) for value in state.trace[shown, place].tolist())
            for place, unit in enumerate(units)
            for layer in unit.layers
        }
        return Trajectory(
            tuple(steps),
            tuple(state.losses[shown].tolist()),
            tuple(state.bits[shown].tolist()),
            tuple(temperature(step, total) for step in steps),
            offsets,
        )


def _batch(windows: Int[Tensor, "windows length"], count: int, step: int) -> Tensor:
    """The windows of a step: the next `count`, round and round."""
    return windows[torch.arange(step * count, (step + 1) * count) % len(windows)]


def _backward(
    model: PreTrainedModel, batch: Int[Tensor, "windows length"], penalty: Float[Tensor, ""]
) -> float:
    """Gradients of cross-entropy + penalty into the graph's leaves; returns the cross-entropy.

    The head is applied to a chunk of rows at a time, and each chunk's gradient taken at once: the
    logits of a whole batch are never there.
    """
    hidden = model.base_model(input_ids=batch, use_cache=False).last_hidden_state
    rows, targets = hidden[:, :-1].flatten(0, 1), batch[:, 1:].flatten()
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Linear)
    at_once = max(1, CHUNK_LOGITS // head.out_features)
    loss, grads = 0.0, []
    for part, wanted in zip(rows.detach().split(at_once), targets.split(at_once), strict=True):
        leaf = part.requires_grad_()
        chunk = nn.functional.cross_entropy(head(leaf).float(), wanted, reduction="sum")
        chunk = chunk / len(targets)
        (grad,) = torch.autograd.grad(chunk, leaf)
        grads.append(grad)
        loss += float(chunk.detach())
    torch.autograd.backward([rows, penalty], [torch.cat(grads), None])
    return loss
