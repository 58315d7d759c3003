"""Text through a network, one decoder block at a time.

A *stream* holds the hidden states of all windows as inputs of one block. Walking block by block
bounds memory by one block's statistics plus the hidden states, however many blocks there are, and
lets a block be changed before the text goes through it.

The network's own code does all the arithmetic; what its backbone would have handed to each block is
kept (`qcore.models.block_inputs`) and handed to it later. So families need no special
cases, and the walk
equals `model(...)` exactly.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from qcore.models.block_inputs import at_the_door
from qcore.models.families import blocks

TOKENS_AT_ONCE = 2048
"""Tokens that go through a block together where nothing else is asked."""

IN_MEMORY = 1 << 30
"""Hidden states of more bytes than this live in a memory-mapped scratch file."""


class Stream:
    """Hidden states of all windows, advanced block by block.

    Args:
        model: a causal language model of a supported family, in eval mode.
        windows: token ids.
        scratch: folder for the hidden states when they are larger than `in_memory` bytes; the
            system's temporary folder by default. The file has no name once it is open, so that
            nothing is left behind, not even by a kill.
        in_memory: bytes.
        at_once: tokens that go through a block together, rounded to whole windows.
    """

    def __init__(
        self,
        model: nn.Module,
        windows: Int[Tensor, "windows length"],
        *,
        scratch: Path | None = None,
        in_memory: int = IN_MEMORY,
        at_once: int | None = None,
    ):
        self._model = model
        count, length = windows.shape
        step = max(1, (at_once or TOKENS_AT_ONCE) // length)
        self._parts = [slice(at, min(at + step, count)) for at in range(0, count, step)]
        self._device = next(model.parameters()).device
        self._arguments: dict[int, list[dict[str, Any]]] = {}
        self.hidden = self._embed(windows, scratch, in_memory)

    @property
    def tokens(self) -> int:
        """Tokens in all windows."""
        return self.hidden.shape[0] * self.hidden.shape[1]

    @property
    def steps(self) -> int:
        """Forward passes that one block takes for all windows."""
        return len(self._parts)

    @torch.no_grad()
    def advance(self, block: int, module: nn.Module | None = None) -> Iterator[int]:
        """Send everything through a block; yields after each step, so that callers can count.

        Args:
            block: index of the block, which says what the backbone would hand to it.
            module: another module to run in its place.
        """
        run = blocks(self._model)[block] if module is None else module
        for step, part in enumerate(self._parts):
            hidden = self.hidden[part].to(self._device)
            output = run(hidden, **self._arguments[len(hidden)][block])
            self.hidden[part] = output.to(self.hidden.device)
            yield step + 1

    @torch.no_grad()
    def inputs(
        self, block: int, reader: nn.Module, module: nn.Module | None = None
    ) -> Iterator[Float[Tensor, "tokens width"]]:
        """Inputs of `reader`, a linear of the block, step by step; nothing advances."""
        run = blocks(self._model)[block] if module is None else module
        for part in self._parts:
            hidden = self.hidden[part].to(self._device)
            yield _input_of(reader, run, hidden, self._arguments[len(hidden)][block])

    @torch.no_grad()
    def _embed(self, windows: Tensor, scratch: Path | None, in_memory: int) -> Tensor:
        store: Tensor | None = None
        for part in self._parts:
            hidden, arguments = at_the_door(self._model, windows[part].to(self._device))
            self._arguments.setdefault(len(hidden), arguments)
            if store is None:
                shape = (len(windows), *hidden.shape[1:])
                store = _store(shape, hidden.dtype, scratch, in_memory)
            store[part] = hidden.to(store.device)
        assert store is not None
        return store


class _Reached(Exception):
    """The reader has its input; the rest of the block need not run."""


def _input_of(
    reader: nn.Module, block: nn.Module, hidden: Tensor, arguments: dict[str, Any]
) -> Float[Tensor, "tokens width"]:
    caught: list[Tensor] = []

    def catch(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        caught.append(inputs[0])
        raise _Reached

    handle = reader.register_forward_pre_hook(catch)
    try:
        block(hidden, **arguments)
    except _Reached:
        pass
    finally:
        handle.remove()
    return caught[0].flatten(0, -2)


def _store(
    shape: tuple[int, ...], dtype: torch.dtype, scratch: Path | None, in_memory: int
) -> Tensor:
    """Room for hidden states: memory, or a nameless file when that would take too much of it."""
    size = torch.Size(shape).numel()
    if size * dtype.itemsize <= in_memory:
        return torch.empty(shape, dtype=dtype)
    with tempfile.NamedTemporaryFile(dir=scratch, suffix=".hidden") as file:
        return torch.from_file(file.name, shared=True, size=size, dtype=dtype).view(shape)
