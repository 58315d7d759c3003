"""Which transforms a network is to carry, and what they make of each input site.

A Plan holds values from `qcore.transforms`, known here by what they can do (`FeatureMap`,
`SiteMap`): models know names, methods know tensors. The transforms of one site compose in the order

    residual stream   fold the norm:  x / γ      then T₁ = permutation, rotation
    o_proj's input    per head:       P_h, R₂    then the online rotation, padding included
    down_proj's input permutation                then the online rotation, padding included

A `SiteChange` is that composition: it takes what was captured on the untouched float network to
what the transformed one would have shown, and weights to the weights that undo it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from qcore.errors import InvalidRecipe
from qcore.models.regions import Dimensions


class FeatureMap(Protocol):
    """A matrix T with orthonormal rows that acts on the last axis of a tensor, from the right."""

    @property
    def width(self) -> int:
        """Features before the transform."""
        ...

    @property
    def transformed_width(self) -> int:
        """Features after; more than before where zeros were added."""
        ...

    def apply(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... transformed"]:
        """The product x T."""
        ...


class SiteMap(FeatureMap, Protocol):
    """A permutation that can be fused upstream, then a rotation that may be left to run time."""

    @property
    def permutation(self) -> Any:
        """The permutation; None leaves the order."""
        ...

    @property
    def fused(self) -> FeatureMap:
        """The permutation alone."""
        ...

    @property
    def online(self) -> FeatureMap:
        """The rotation and expansion that follow the permutation at run time."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PerHead:
    """One map for each value head, beside each other, read by `sharing` query heads each.

    Attributes:
        maps: one per value head, all of one width; none expands.
        sharing: neighbouring heads that use the same map: 1 among values.
    """

    maps: tuple[FeatureMap, ...]
    sharing: int = 1

    @property
    def width(self) -> int:
        """Features of all heads."""
        return sum(item.width for item in self.maps) * self.sharing

    @property
    def transformed_width(self) -> int:
        """Features of all heads: no expansion here."""
        return self.width

    def apply(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        """Every head by its own map."""
        groups = x.unflatten(-1, (len(self.maps), self.sharing, self.maps[0].width))
        first = self.maps[0]
        if all(item is first for item in self.maps):
            return first.apply(groups).flatten(-3)
        parts = [item.apply(groups[..., i, :, :]) for i, item in enumerate(self.maps)]
        return torch.stack(parts, -3).flatten(-3)


@dataclass(frozen=True, slots=True, eq=False)
class SiteChange:
    """The map from a site's input in the untouched network to its input in the transformed one.

    Attributes:
        gain: γ, the weights of the norm that writes the site, where they were folded; else None.
        maps: what follows, first applied first.
    """

    gain: Float[Tensor, " width"] | None = None
    maps: tuple[FeatureMap, ...] = ()

    @property
    def unseen(self) -> int:
        """Channels whose norm weight is 0: what lies behind them was never seen by the capture."""
        return 0 if self.gain is None else int((self.gain == 0).sum())

    def apply(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... transformed"]:
        """Inputs: (x / γ) T. Channels with γ = 0 come out as 0."""
        if self.gain is not None:
            x = x * _inverse(self.gain).to(x)
        return self._map(x)

    def apply_weight(self, weight: Float[Tensor, "out width"]) -> Float[Tensor, "out transformed"]:
        """Weights: (W γ) T, so that they meet transformed inputs as W met the untouched ones."""
        if self.gain is not None:
            weight = weight * self.gain.to(weight)
        return self._map(weight)

    def apply_moment(
        self, moment: Float[Tensor, "width width"]
    ) -> Float[Tensor, "transformed transformed"]:
        """Tᵀ D⁻¹ H D⁻¹ T with D = diag γ, for H the mean over tokens of x xᵀ.

        Where γ is 0 the capture saw zeros, while the transformed network mixes what lies behind
        them with everything else. RMSNorm makes the mean squares of all channels add up to their
        number; what the others leave of that is shared out over the unseen channels, taken as
        uncorrelated. An estimate: `unseen` says when it was needed.
        """
        if self.gain is not None:
            inverse = _inverse(self.gain).to(moment)
            moment = inverse[:, None] * moment * inverse
            if self.unseen:
                missing = (len(inverse) - moment.trace()).clamp_min(0) / self.unseen
                moment.diagonal()[self.gain.to(moment.device) == 0] = missing
        return self._map(self._map(moment).T).T.contiguous()

    def _map(self, x: Tensor) -> Tensor:
        for item in self.maps:
            x = item.apply(x)
        return x


@dataclass(frozen=True, slots=True, eq=False)
class BlockPlan:
    """The transforms of one decoder block.

    Attributes:
        values: R2 with the permutation within heads: one map per value head, fused into v_proj
            and o_proj. Empty for none.
        attention_output: online at o_proj's input, behind `values`.
        mlp_hidden: at down_proj's input: the permutation fused into gate_proj, up_proj and
            down_proj, the rotation (R4) online.
    """

    values: tuple[FeatureMap, ...] = ()
    attention_output: SiteMap | None = None
    mlp_hidden: SiteMap | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All transforms of a network.

    Attributes:
        residual: R1 with the residual permutation, fused; its being there folds the norms and
            unties the embeddings, even if it is the identity.
        blocks: one per decoder block, or none at all.
    """

    residual: FeatureMap | None = None
    blocks: tuple[BlockPlan, ...] = ()

    def block(self, block: int) -> BlockPlan:
        """The transforms of one block."""
        return self.blocks[block] if self.blocks else BlockPlan()

    def require_fit(self, size: Dimensions) -> None:
        """Refuse transforms that the network has no place for.

        Raises:
            InvalidRecipe: a transform of another width, one that expands where it must not, or a
                permutation that nothing upstream could take.
        """
        if self.residual is not None:
            _require_width("the residual stream", self.residual, size.hidden)
            _require_square("the residual stream", self.residual)
        if len(self.blocks) not in (0, size.blocks):
            raise InvalidRecipe(
                f"{len(self.blocks)} blocks are planned and the network has {size.blocks}",
                remedy="plan every block, or none",
            )
        for block, planned in enumerate(self.blocks):
            _require_block(block, planned, size)


def _require_block(block: int, plan: BlockPlan, size: Dimensions) -> None:
    if plan.values and len(plan.values) != size.kv_heads:
        raise InvalidRecipe(
            f"{len(plan.values)} maps do not fit the {size.kv_heads} value heads of block {block}",
            remedy=f"give {size.kv_heads}, one per value head",
        )
    for item in plan.values:
        _require_width(f"a value head of block {block}", item, size.head_dim)
        _require_square(f"a value head of block {block}", item)
    if plan.attention_output is not None:
        _require_width(f"o_proj's input in block {block}", plan.attention_output, size.attention)
        if plan.attention_output.permutation is not None:
            raise InvalidRecipe(
                f"a permutation of all {size.attention} channels at o_proj's input in block "
                f"{block} has no place upstream: attention keeps heads apart",
                remedy="permute within heads, through the values",
            )
    if plan.mlp_hidden is not None:
        _require_width(f"down_proj's input in block {block}", plan.mlp_hidden, size.intermediate)


def _require_width(where: str, item: FeatureMap, width: int) -> None:
    if item.width != width:
        raise InvalidRecipe(
            f"a transform of {item.width} features does not fit {where} with {width}",
            remedy=f"make it for {width}",
        )


def _require_square(where: str, item: FeatureMap) -> None:
    if item.transformed_width != item.width:
        raise InvalidRecipe(
            f"{where} cannot grow from {item.width} to {item.transformed_width} features",
            remedy="expand online rotations only, at o_proj's or down_proj's input",
        )


def _inverse(gain: Tensor) -> Tensor:
    """1/γ in double, 0 where γ is."""
    gain = gain.double()
    return torch.where(gain == 0, 0.0, 1 / gain)
