"""RMSNorm weights folded into the linears behind them, so that a rotation can pass the norm.

    RMSNorm(x) Wᵀ = (x̂ ∘ γ) Wᵀ = x̂ (W diag γ)ᵀ,   x̂ = x / rms(x)

With γ = 1 the norm only divides by a length, and x̂ R = (xR)^ for every orthogonal R. The last norm
goes into the output head; where that shares its matrix with the embedding, the two are untied
first, since only one of them may take γ.

Norms that multiply by 1 + w (Gemma) are folded with γ = 1 + w, and left with w = 0.

Not covered: norms with a bias; head norms (Qwen3's q_norm and k_norm stand behind a projection and
are left as they are); norms between a branch and the residual stream (Gemma 2 and 3, OLMo 2 and 3):
their γ would have to be folded into rows that a rotation has mixed already.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qcore.errors import UnsupportedModel
from qcore.models.families import family_of, require_rotatable, sites


def norms(model: nn.Module) -> dict[str, str]:
    """Consumer → the norm that writes its input: module paths, the head among them.

    Raises:
        UnsupportedModel: a norm that is no RMSNorm with weights alone, or one that closes a branch.
    """
    family = family_of(model)
    require_rotatable(family)
    found = {
        linear.path: site.producer
        for site in sites(model)
        if site.producer is not None
        for linear in site.linears
    }
    found[family.head] = family.final_norm
    for path in sorted(set(found.values())):
        _require_foldable(path, model.get_submodule(path))
    return found


def gain_of(model: nn.Module, norm: str) -> Tensor:
    """γ of the norm at a path, [hidden]: the tensor itself, or 1 + w in float32 at least."""
    weight = model.get_submodule(norm).get_parameter("weight").data
    if not family_of(model).unit_gain:
        return weight
    return 1 + weight.to(torch.promote_types(weight.dtype, torch.float32))


def without_gain(model: nn.Module, norm: str) -> Tensor:
    """The weights with which the norm at a path only divides by a length, [hidden]."""
    weight = model.get_submodule(norm).get_parameter("weight").data
    return torch.zeros_like(weight) if family_of(model).unit_gain else torch.ones_like(weight)


def untie(model: nn.Module) -> nn.Parameter | None:
    """Give the output head a parameter of its own; returns the one it shared, None if it did not.

    The tensor is still shared: point either parameter elsewhere before changing it.
    """
    family = family_of(model)
    head, embedding = model.get_submodule(family.head), model.get_submodule(family.embedding)
    shared = head.get_parameter("weight")
    if shared is not embedding.weight:
        return None
    head.weight = nn.Parameter(shared.data, requires_grad=shared.requires_grad)
    return shared


def _require_foldable(path: str, norm: nn.Module) -> None:
    parameters = sorted(name for name, _ in norm.named_parameters())
    if not type(norm).__name__.endswith("RMSNorm") or parameters != ["weight"]:
        raise UnsupportedModel(
            f"{path} is a {type(norm).__name__} with {', '.join(parameters) or 'no parameters'}, "
            "which no rotation of the residual stream can pass",
            remedy="set the rotation's r1 to false",
        )
