"""The network's weights as named matrices, and what goes into each.

    NAME                       shape            kind        input of its product
    encoder_embedding          [A+1, E]         embedding   one-hot activity (transposed product)
    encoder.L.weight_ih        [gates·H, in]    recurrent   the layer's input; gates stacked by rows
    encoder.L.weight_hh        [gates·H, H]     recurrent   the layer's last state
    attention_key              [attention, H]   linear      the encoder's top states
    attention_query            [attention, H]   linear      the decoder's top state
    attention_score            [1, attention]   linear      tanh of query plus key
    decoder_embedding, decoder.L.weight_ih, decoder.L.weight_hh      as the encoder's
    output                     [A+1, H]         linear      the decoder's top state

Everything but the embeddings is used as x @ Wᵀ, as the linear layers of a language model are, so
what applies to those (formats by row, scales, GPTQ with H = XᵀX) applies to these. An embedding is
x @ W with a one-hot x: H is diagonal, the count of every activity, over its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from qcore.errors import InvalidRecipe
from qcore.suffix.batches import Batch
from qcore.suffix.model import SuffixNetwork
from qcore.suffix.train import teacher_forced

Kind = Literal["linear", "recurrent", "embedding"]
EMBEDDINGS = ("encoder_embedding", "decoder_embedding")


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """One weight.

    Attributes:
        name: as taps call it, and its parameter.
        kind: what it does.
        weight: the parameter's values, detached.
        gates: stacked along the rows; 1 where there are none.
    """

    name: str
    kind: Kind
    weight: Float[Tensor, "out in"]
    gates: int


def matrices(network: SuffixNetwork) -> dict[str, Matrix]:
    """All weights with two axes, by name, encoder first. Biases stay as they are."""
    found = {}
    for name, parameter in network.named_parameters():
        if parameter.ndim != 2:
            continue
        kind: Kind = "linear"
        gates = 1
        if name in EMBEDDINGS:
            kind = "embedding"
        elif name.endswith(("weight_ih", "weight_hh")):
            kind, gates = "recurrent", parameter.shape[0] // network.shape.hidden
        found[name] = Matrix(name, kind, parameter.detach(), gates)
    return found


def with_weights(network: SuffixNetwork, weights: Mapping[str, Tensor]) -> SuffixNetwork:
    """A copy for inference in which some matrices have other values.

    Raises:
        InvalidRecipe: a name or a shape that the network does not have.
    """
    own = matrices(network)
    for name, weight in weights.items():
        if name not in own:
            raise InvalidRecipe(f"no matrix is called {name!r}", remedy=f"see {', '.join(own)}")
        if weight.shape != own[name].weight.shape:
            raise InvalidRecipe(
                f"{name} is {tuple(own[name].weight.shape)}, not {tuple(weight.shape)}",
                remedy="keep the shape",
            )
    copy = SuffixNetwork(network.shape)
    copy.load_state_dict({**network.state_dict(), **weights})
    return copy.eval()


def second_moments(
    network: SuffixNetwork, batches: Iterable[Batch]
) -> dict[str, Float[Tensor, "in in"]]:
    """XᵀX of each matrix's inputs over teacher-forced batches, float64; not divided by anything.

    An embedding's is the diagonal of how often each row was looked up. The encoder reads a case
    once however many prefixes it has, so its inputs count once a case and event.
    """
    sums: dict[str, Tensor] = {}

    def collect(name: str, x: Tensor) -> Tensor:
        if name in EMBEDDINGS:
            rows = network.shape.activities + 1
            moment = torch.bincount(x.flatten(), minlength=rows).double().diag()
        else:
            flat = x.reshape(-1, x.shape[-1]).double()
            moment = flat.T @ flat
        sums[name] = sums[name] + moment if name in sums else moment
        return x

    network.eval()
    with torch.inference_mode():
        for batch in batches:
            teacher_forced(network, batch, tap=collect)
    return sums
