"""How far a quantized network's predictions lie from the float network's.

For each predicted token, with p the float network's distribution over the vocabulary and q the
quantized one's:

    KL(p ‖ q) = Σ_v p_v (log p_v − log q_v)          nats per token
    agreement = [argmax p = argmax q]                 share of tokens

Perplexity moves with the text; these two move only with the damage, so they tell recipes apart on
far fewer tokens.

The float side is kept as a `Reference`: the final normed hidden states of every window, and the
head that turns them into logits. Logits are made again, chunk by chunk, when they are needed: for
the demo model that is 576 numbers a token instead of 49,152.

How it is summed, so that equal networks give exactly zero: `qcore.numerics.distributions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from qcore.errors import CorruptEntry, DataError
from qcore.numerics.head import Head


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The float network on the evaluation windows.

    Attributes:
        hidden: final hidden states, after the last norm, in the network's dtype.
        head: the float head, on the device of the network that is compared (see `to`).
    """

    hidden: Float[Tensor, "windows length hidden"]
    head: Head

    def to(self, device: torch.device | str) -> Reference:
        """The same with its head on another device; hidden states follow a window at a time."""
        return Reference(self.hidden, self.head.to(device))

    def to_tensors(self, *, with_head: bool = True) -> dict[str, Tensor]:
        """Plain tensors for safetensors. The head may be left out where the float model is kept."""
        tensors = {"hidden": self.hidden.contiguous()}
        if with_head:
            tensors |= self.head.to_tensors()
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], head: Head | None = None) -> Reference:
        """The Reference of those tensors; `head` stands in for one that was left out.

        Raises:
            CorruptEntry: hidden states or a head are missing, or their widths differ.
        """
        if head is None and "head.weight" in tensors:
            head = Head.from_tensors(tensors)
        hidden = tensors.get("hidden")
        if hidden is None or head is None:
            missing = "hidden states" if hidden is None else "a head"
            raise CorruptEntry(
                f"the stored float reference lacks {missing}", remedy="evaluate the float model"
            )
        if hidden.ndim != 3 or hidden.shape[2] != head.weight.shape[1]:
            raise CorruptEntry(
                f"stored hidden states of shape {tuple(hidden.shape)} do not fit a head of width "
                f"{head.weight.shape[1]}",
                remedy="evaluate the float model again",
            )
        return cls(hidden, head)

    def window(self, index: int, length: int) -> Float[Tensor, "length hidden"]:
        """Hidden states of one window, checked to be `length` tokens.

        Raises:
            DataError: the reference was taken on other windows.
        """
        windows, stored, _ = self.hidden.shape
        if not 0 <= index < windows or stored != length:
            raise DataError(
                f"the float reference has {windows} windows of {stored} tokens, window {index} "
                f"of {length} tokens was asked for",
                remedy="take the reference on the windows that are scored",
            )
        return self.hidden[index]


def token_agreement(
    float_logprobs: Float[Tensor, "tokens vocab"], logprobs: Float[Tensor, "tokens vocab"]
) -> Bool[Tensor, " tokens"]:
    """Whether both networks rank the same token first (of equal ones, the first in order)."""
    return torch.eq(float_logprobs.argmax(dim=-1), logprobs.argmax(dim=-1))
