"""Recurrent layers whose matrices can be seen at work.

A GRU or LSTM layer is two matrix products a step, gates stacked along the output axis,

    u = W_ih x + b_ih        v = W_hh h + b_hh                           (gates · H)
    GRU   r = σ(u_r + v_r),  z = σ(u_z + v_z),  n = tanh(u_n + r ⊙ v_n),  h' = (1 − z) n + z h
    LSTM  i, f, g, o of u + v:  c' = σ(f) c + σ(i) tanh(g),  h' = σ(o) tanh(c')

in torch's own order of gates (r z n; i f g o), so that weights move to and from `nn.GRU` and
`nn.LSTM`. There are two ways through a layer. Without a tap torch's kernels run it. With a tap
each product is written out and its input is handed to the tap first: the tap may look at it
(second moments for GPTQ) or replace it (an activation format). Both ways give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Cell = Literal["gru", "lstm"]
GATES: dict[str, int] = {"gru": 3, "lstm": 4}

State = tuple[Tensor, ...]
"""(h,) of a GRU, (h, c) of an LSTM; each `[..., hidden]`."""

Tap = Callable[[str, Tensor], Tensor]
"""Takes a matrix's name and its input `[..., in]`; gives the input to use in its place."""


def product(
    name: str,
    x: Float[Tensor, "... in"],
    weight: Float[Tensor, "out in"],
    bias: Float[Tensor, " out"] | None,
    tap: Tap | None,
) -> Float[Tensor, "... out"]:
    """``x @ weight.T + bias``, the tap first."""
    if tap is not None:
        x = tap(name, x)
    return nn.functional.linear(x, weight, bias)


class Recurrent(nn.Module):
    """One layer. `name` is how its matrices are called: `NAME.weight_ih`, `NAME.weight_hh`."""

    def __init__(self, cell: Cell, width: int, hidden: int, name: str):
        super().__init__()
        self.cell, self.hidden, self.name = cell, hidden, name
        gates = GATES[cell] * hidden
        self.weight_ih = nn.Parameter(torch.empty(gates, width))
        self.weight_hh = nn.Parameter(torch.empty(gates, hidden))
        self.bias_ih = nn.Parameter(torch.empty(gates))
        self.bias_hh = nn.Parameter(torch.empty(gates))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    def start(self, rows: int) -> State:
        """The state before the first event: zeros."""
        zero = self.weight_hh.new_zeros(rows, self.hidden)
        return (zero,) if self.cell == "gru" else (zero, zero)

    def step(self, x: Float[Tensor, "rows width"], state: State, tap: Tap | None = None) -> State:
        """One event further."""
        if tap is None:
            weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
            if self.cell == "gru":
                return (torch.gru_cell(x, state[0], *weights),)
            return torch.lstm_cell(x, state, *weights)
        u = product(f"{self.name}.weight_ih", x, self.weight_ih, self.bias_ih, tap)
        return self._after(u, state, tap)

    def run(self, x: Float[Tensor, "rows time width"], tap: Tap | None = None) -> State:
        """States after every event, `[rows, time, hidden]` each, from a start of zeros."""
        state = self.start(x.shape[0])
        if tap is None and self.cell == "gru":
            weights: list[Tensor] = [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]
            out, _ = torch.gru(x, state[0][None], weights, True, 1, 0.0, False, False, True)
            return (out,)
        # torch's LSTM kernel gives the last c alone, and a prefix may end at any event.
        states: list[State] = []
        if tap is not None:
            x = product(f"{self.name}.weight_ih", x, self.weight_ih, self.bias_ih, tap)
        for event in x.unbind(1):
            state = self.step(event, state) if tap is None else self._after(event, state, tap)
            states.append(state)
        return tuple(torch.stack(parts, 1) for parts in zip(*states, strict=True))

    def _after(self, u: Tensor, state: State, tap: Tap | None) -> State:
        h = state[0]
        v = product(f"{self.name}.weight_hh", h, self.weight_hh, self.bias_hh, tap)
        if self.cell == "gru":
            (ur, uz, un), (vr, vz, vn) = u.chunk(3, -1), v.chunk(3, -1)
            new = torch.tanh(un + torch.sigmoid(ur + vr) * vn)
            keep = torch.sigmoid(uz + vz)
            return ((1 - keep) * new + keep * h,)
        i, f, g, o = (u + v).chunk(4, -1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
