"""The output head: from final hidden states to logits.

    logits = h Wᵀ + b        Granite: divided by a number        Gemma: capped, c · tanh(logits / c)

Both numbers stand in a network's configuration, under the same names wherever they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from qcore.errors import UnsupportedModel

DIVISOR, CAP = "logits_scaling", "final_logit_softcapping"
"""What the configuration calls them."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The map from final hidden states to logits, called as `head(hidden)`.

    Attributes:
        weight: of the linear map; the network's own tensor, not a copy.
        bias: of the linear map.
        divisor: of the logits.
        cap: bound on the logits; None for none.
    """

    weight: Float[Tensor, "vocab hidden"]
    bias: Float[Tensor, " vocab"] | None = None
    divisor: float = 1.0
    cap: float | None = None

    def __call__(self, hidden: Float[Tensor, "tokens hidden"]) -> Float[Tensor, "tokens vocab"]:
        """Logits in the dtype of the hidden states."""
        logits = functional.linear(hidden, self.weight, self.bias)
        if self.divisor != 1:
            logits = logits / self.divisor
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap

    def to(self, device: torch.device | str) -> Head:
        """The same on another device."""
        bias = None if self.bias is None else self.bias.to(device)
        return replace(self, weight=self.weight.to(device), bias=bias)

    def to_tensors(self) -> dict[str, Tensor]:
        """Plain tensors for safetensors, their names beginning with `head.`."""
        found = {"head.weight": self.weight.detach().contiguous()}
        if self.bias is not None:
            found["head.bias"] = self.bias.detach().contiguous()
        if self.divisor != 1:
            found["head.divisor"] = torch.tensor(self.divisor, dtype=torch.float64)
        if self.cap is not None:
            found["head.cap"] = torch.tensor(self.cap, dtype=torch.float64)
        return found

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Head:
        """The head of those tensors. Raises KeyError without a weight."""
        cap = tensors.get("head.cap")
        return cls(
            tensors["head.weight"],
            tensors.get("head.bias"),
            float(tensors.get("head.divisor", torch.ones(()))),
            None if cap is None else float(cap),
        )


def head_of(model: nn.Module) -> Head:
    """The head of a causal language model; its tensors are referred to, not copied.

    Raises:
        UnsupportedModel: the model has none, or it is not a linear map.
    """
    causal: Any = model
    linear = causal.get_output_embeddings()
    if not isinstance(linear, nn.Linear):
        raise UnsupportedModel(
            f"the output head of {type(model).__name__} is a {type(linear).__name__}, not a linear "
            "layer",
            remedy="load the model as a causal LM",
        )
    divisor = getattr(causal.config, DIVISOR, None)
    bias = None if linear.bias is None else linear.bias.detach()
    return Head(
        linear.weight.detach(),
        bias,
        1.0 if divisor is None else float(divisor),
        getattr(causal.config, CAP, None),
    )
