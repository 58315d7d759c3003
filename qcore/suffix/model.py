"""The encoder–decoder network for suffixes (arXiv 2211.16106, as its predecessor codes it).

Encoder: [activity embedding + sinusoidal position; six time features] → stacked GRU or LSTM.
Decoder: the same stack, begun in the encoder's state after the prefix. Its input at a step is
[context; embedding of the previous activity], the first previous activity being the prefix's last.
The context is additive attention over the prefix's states, asked by the decoder's top state:

    e_j = vᵀ tanh(W_q s + W_k h_j),   a = softmax(e),   context = Σ_j a_j h_j       j < k

Attention sees the first k positions alone: padding to the right of a prefix, and events after it,
have no weight, not a small one. The encoder reads forwards only, so one pass over a case holds the
states of all its prefixes; a prefix is a pair (case, k) that picks its own.

The output has a column for every activity and one for the end (`SuffixNetwork.end`). The last row
of both embeddings stands for activities never seen in training.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from qcore.errors import InvalidRecipe
from qcore.suffix.cells import GATES, Cell, Recurrent, State, Tap, product

TIME_FEATURES = 6
SMALLEST = (("activities", 2), ("embedding", 2), ("hidden", 1), ("attention", 1), ("layers", 1))


@dataclass(frozen=True, slots=True)
class Shape:
    """What a network is made of.

    Attributes:
        activities: distinct activities of the training cases.
        cell: "gru" or "lstm".
        embedding: width of both embeddings; even.
        hidden: width of a recurrent layer's state.
        attention: width in which query and keys meet.
        layers: recurrent layers on each side.
        dropout: share of embeddings and of states between layers that training drops.

    Raises:
        InvalidRecipe: a size that no network can have.
    """

    activities: int
    cell: Cell = "gru"
    embedding: int = 32
    hidden: int = 64
    attention: int = 32
    layers: int = 2
    dropout: float = 0.1

    def __post_init__(self):
        if self.cell not in GATES:
            raise InvalidRecipe(f"unknown cell {self.cell!r}", remedy="choose gru or lstm")
        for name, least in SMALLEST:
            if getattr(self, name) < least:
                raise InvalidRecipe(
                    f"{name} is {getattr(self, name)}", remedy=f"choose at least {least}"
                )
        if self.embedding % 2:
            raise InvalidRecipe(
                f"embedding {self.embedding} is odd, and positions need pairs",
                remedy=f"choose {self.embedding + 1}",
            )
        if not 0 <= self.dropout < 1:
            raise InvalidRecipe(f"dropout is {self.dropout}", remedy="choose 0 to below 1")

    def to_json(self) -> dict[str, int | float | str]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the decoder may look at, a row per prefix.

    Attributes:
        keys: W_k h, `[rows, time, attention]`.
        values: h of the encoder's top layer, `[rows, time, hidden]`.
        seen: which positions belong to the prefix, `[rows, time]`.
    """

    keys: Float[Tensor, "rows time attention"]
    values: Float[Tensor, "rows time hidden"]
    seen: Bool[Tensor, "rows time"]

    def first(self, rows: int, time: int) -> Memory:
        """The first `rows` rows and `time` positions, as views."""
        return Memory(self.keys[:rows, :time], self.values[:rows, :time], self.seen[:rows, :time])

    def pick(self, rows: Int[Tensor, " picked"]) -> Memory:
        """Rows by index."""
        return Memory(self.keys[rows], self.values[rows], self.seen[rows])


def positions(length: int, width: int) -> Float[Tensor, "length width"]:
    """Sines, then cosines, of t / 10000^(2i/width) (Vaswani et al. 2017, §3.5)."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(length)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], 1)


class SuffixNetwork(nn.Module):
    """Encoder, attention and decoder. `end` is the output column, and the token, of the end."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.end = shape.activities
        tokens = shape.activities + 1  # the last one: unknown
        self.encoder_embedding = nn.Parameter(torch.randn(tokens, shape.embedding) * 0.3)
        self.decoder_embedding = nn.Parameter(torch.randn(tokens, shape.embedding) * 0.3)
        first_encoder = shape.embedding + TIME_FEATURES
        first_decoder = shape.embedding + shape.hidden
        self.encoder = nn.ModuleList(
            Recurrent(
                shape.cell, shape.hidden if i else first_encoder, shape.hidden, f"encoder.{i}"
            )
            for i in range(shape.layers)
        )
        self.decoder = nn.ModuleList(
            Recurrent(
                shape.cell, shape.hidden if i else first_decoder, shape.hidden, f"decoder.{i}"
            )
            for i in range(shape.layers)
        )
        self.attention_query = nn.Parameter(_uniform(shape.attention, shape.hidden))
        self.attention_key = nn.Parameter(_uniform(shape.attention, shape.hidden))
        self.attention_score = nn.Parameter(_uniform(1, shape.attention))
        self.output = nn.Parameter(_uniform(shape.activities + 1, shape.hidden))
        self.output_bias = nn.Parameter(torch.zeros(shape.activities + 1))

    @property
    def unknown(self) -> int:
        """The input token of activities never seen in training."""
        return self.shape.activities

    def encode(
        self,
        activity: Int[Tensor, "cases time"],
        times: Float[Tensor, "cases time 6"],
        tap: Tap | None = None,
    ) -> tuple[Memory, list[State]]:
        """All states of whole cases: a memory that sees every event, and states by layer."""
        embedded = _look_up("encoder_embedding", activity, self.encoder_embedding, tap)
        place = positions(activity.shape[1], self.shape.embedding).to(embedded)
        x = self._drop(torch.cat([embedded + place, times], -1))
        states: list[State] = []
        for layer in self.encoder:
            assert isinstance(layer, Recurrent)
            if states:
                x = self._drop(x)
            states.append(layer.run(x, tap))
            x = states[-1][0]
        keys = product("attention_key", x, self.attention_key, None, tap)
        return Memory(keys, x, torch.ones_like(activity, dtype=torch.bool)), states

    def begin(
        self,
        memory: Memory,
        states: list[State],
        case: Int[Tensor, " rows"],
        length: Int[Tensor, " rows"],
    ) -> tuple[Memory, list[State]]:
        """The decoder's start for prefixes (case, k): memory and states, a row each."""
        time = int(length.max())
        picked = Memory(
            memory.keys[case, :time],
            memory.values[case, :time],
            torch.arange(time, device=length.device) < length[:, None],
        )
        start = [tuple(part[case, length - 1] for part in state) for state in states]
        return picked, start

    def step(
        self,
        token: Int[Tensor, " rows"] | Float[Tensor, "rows embedding"],
        states: list[State],
        memory: Memory,
        tap: Tap | None = None,
    ) -> tuple[list[State], Float[Tensor, "rows time"]]:
        """One decoder step: states after reading `token` (or its embedding), and the attention."""
        context, weights = self._attend(states[-1][0], memory, tap)
        if not token.is_floating_point():
            token = self.embed(token, tap)
        x = torch.cat([context, token], -1)
        new: list[State] = []
        for layer, state in zip(self.decoder, states, strict=True):
            assert isinstance(layer, Recurrent)
            if new:
                x = self._drop(x)
            new.append(layer.step(x, state, tap))
            x = new[-1][0]
        return new, weights

    def embed(self, token: Tensor, tap: Tap | None = None) -> Tensor:
        """The decoder's embedding of tokens."""
        return self._drop(_look_up("decoder_embedding", token, self.decoder_embedding, tap))

    def logits(
        self, top: Float[Tensor, "rows hidden"], tap: Tap | None = None
    ) -> Float[Tensor, "rows activities+1"]:
        """Of every activity and, last, of the end."""
        return product("output", self._drop(top), self.output, self.output_bias, tap)

    def _attend(self, query: Tensor, memory: Memory, tap: Tap | None) -> tuple[Tensor, Tensor]:
        asked = product("attention_query", query, self.attention_query, None, tap)
        mixed = torch.tanh(asked[:, None] + memory.keys)
        energy = product("attention_score", mixed, self.attention_score, None, tap).squeeze(-1)
        weights = torch.softmax(energy.masked_fill(~memory.seen, -torch.inf), -1)
        return (weights[:, None] @ memory.values)[:, 0], weights

    def _drop(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self.shape.dropout, self.training)


def _look_up(name: str, index: Tensor, table: Tensor, tap: Tap | None) -> Tensor:
    """Rows of an embedding. A tap sees the indices: the input is one-hot, its product a row."""
    if tap is not None:
        index = tap(name, index)
    return table[index]


def _uniform(out: int, width: int) -> Tensor:
    return torch.empty(out, width).uniform_(-1 / math.sqrt(width), 1 / math.sqrt(width))
