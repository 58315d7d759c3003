"""Windows of text on their way through a network, and variants in which one layer differs.

A *replay* runs one block again on its float inputs, with one linear's output
given. What that linear does not influence is played back: the linears before it and beside it give
out what they gave in the float network, and only those behind it multiply. Then all variants of a
block go through the blocks behind it as one batch, and their predictions are compared with the
float network's.

Weights and hooks stay as they are; the modules that are played back are taken out of their block
for as long as it runs, and come back whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from qcore.models.block_inputs import at_the_door
from qcore.models.families import Linear, block_sites, blocks, family_of, linear_module
from qcore.models.family import SITES
from qcore.numerics.distributions import log_probabilities, row_chunks, token_divergence
from qcore.numerics.head import head_of

TOKENS_AT_ONCE = 2048
"""Tokens that go through a block together, rounded to whole windows."""

Captured = dict[Linear, tuple[Tensor, Tensor]]
"""From a linear to its input [windows, length, in] and its output [windows, length, out]."""


class Replay:
    """All windows as inputs of one block, advanced block by block.

    Args:
        model: a causal language model of a supported family, in eval mode.
        windows: token ids.
    """

    @torch.no_grad()
    def __init__(self, model: nn.Module, windows: Int[Tensor, "windows length"]):
        self._model = model
        self._blocks = list(blocks(model))
        self._arguments: dict[int, list[dict[str, Any]]] = {}
        self._windows = windows.to(next(model.parameters()).device)
        self._hidden, self._arguments[len(windows)] = at_the_door(model, self._windows)
        self._final = self._finish(self._run(self._hidden, 0))

    @torch.no_grad()
    def advance(self, block: int) -> None:
        """Advance the float windows from the input of `block` to the input of the next."""
        self._hidden = self._block(block, self._hidden)

    @torch.no_grad()
    def capture(self, block: int) -> Captured:
        """Inputs and outputs of each linear of `block`, the block that the windows have reached."""
        seen: Captured = {}
        linears = [x for site in block_sites(self._model, block) for x in site.linears]
        with ExitStack() as hooks:
            for linear in linears:
                module = linear_module(self._model, linear)
                hooks.enter_context(module.register_forward_hook(partial(_keep, seen, linear)))
            self._block(block, self._hidden)
        return {linear: seen[linear] for linear in linears}

    @torch.no_grad()
    def behind(
        self,
        linear: Linear,
        outputs: Float[Tensor, "variants windows length out"],
        captured: Captured,
    ) -> Float[Tensor, "variants windows length width"]:
        """Hidden states behind the linear's block when it gives out `outputs` instead."""
        place = SITES.index(linear.site)
        variants = len(outputs)
        played = {
            item: output.repeat(variants, 1, 1)
            for item, (_, output) in captured.items()
            if SITES.index(item.site) <= place
        }
        played[linear] = outputs.flatten(0, 1)
        with _played_back(self._model, played):
            hidden = self._block(linear.block, self._hidden.repeat(variants, 1, 1))
        return hidden.unflatten(0, (variants, -1))

    @torch.no_grad()
    def costs(
        self,
        block: int,
        hidden: Float[Tensor, "variants windows length width"],
        passed: Callable[[], None],
    ) -> tuple[Float64[Tensor, " variants"], Float64[Tensor, " variants"]]:
        """KL and increase in loss of variants, means in nats per token.

        Args:
            block: the variants' hidden states are those behind it.
            hidden: of the variants.
            passed: called once for every block that all variants have gone through.
        """
        variants, windows, length, _ = hidden.shape
        final = self._finish(self._run(hidden.flatten(0, 1), block + 1, passed))
        final = final.unflatten(0, (variants, windows))
        kl, loss = torch.zeros(2, variants, dtype=torch.float64)
        head = head_of(self._model)
        words = head.weight.shape[0]
        for window, tokens in enumerate(self._windows):
            for rows in row_chunks(length - 1, words):
                targets = tokens[1:][rows, None]
                plain = log_probabilities(head, self._final[window, :-1][rows])
                for variant in range(variants):
                    changed = log_probabilities(head, final[variant, window, :-1][rows])
                    kl[variant] += float(token_divergence(plain, changed).double().sum())
                    lost = plain.gather(1, targets) - changed.gather(1, targets)
                    loss[variant] += float(lost.double().sum())
        predictions = windows * (length - 1)
        return kl / predictions, loss / predictions

    def _run(
        self, hidden: Tensor, first: int, passed: Callable[[], None] = lambda: None
    ) -> Float[Tensor, "sequences length width"]:
        """Through all blocks from `first` on, a few sequences at a time."""
        step = max(1, TOKENS_AT_ONCE // hidden.shape[1])
        for block in range(first, len(self._blocks)):
            hidden = torch.cat([self._block(block, part) for part in hidden.split(step)])
            passed()
        return hidden

    def _block(self, block: int, hidden: Tensor) -> Float[Tensor, "sequences length width"]:
        count = len(hidden)
        if count not in self._arguments:
            # They depend on positions alone, so any text of that shape serves.
            _, self._arguments[count] = at_the_door(self._model, self._windows[:1].repeat(count, 1))
        return self._blocks[block](hidden, **self._arguments[count][block])

    def _finish(self, hidden: Tensor) -> Float[Tensor, "sequences length width"]:
        return self._model.get_submodule(family_of(self._model).final_norm)(hidden)


def _keep(
    seen: Captured, linear: Linear, module: nn.Module, inputs: tuple[Tensor], output: Tensor
) -> None:
    seen[linear] = inputs[0], output


class _Recording(nn.Module):
    """Stands where a linear stood and gives out what is known already."""

    def __init__(self, output: Tensor):
        super().__init__()
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        return self.output


@contextmanager
def _played_back(model: nn.Module, outputs: Mapping[Linear, Tensor]) -> Iterator[None]:
    """Recordings in the places of linears inside the block, the linears again after it."""
    real = {linear: linear_module(model, linear) for linear in outputs}
    try:
        for linear, output in outputs.items():
            _put(model, linear, _Recording(output))
        yield
    finally:
        for linear, module in real.items():
            _put(model, linear, module)


def _put(model: nn.Module, linear: Linear, module: nn.Module) -> None:
    parent, _, name = linear.path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)
