"""One site's transform as a value: permutation, then zero-padding, then rotation.

    T = P [I 0] R        x' = x T,   W' = W T,   H' = Tᵀ H T

T has orthonormal rows, so x' W'ᵀ = x Wᵀ: in floating point nothing changes, and rounding sees
fewer outliers. `H` captured once on the untouched network serves every transform.

E|x_i| is another matter: permutation and padding carry it along, but the mean magnitude of a
rotated feature depends on the joint distribution of all features it mixes. `apply_mean` therefore
refuses a rotation; capture the rotated inputs, or sketch them, instead.

Where P is fused upstream (into the rows of the layers that produce x), only padding and rotation
remain at run time: `online` is that part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from qcore.errors import InvalidRecipe, NumericalError
from qcore.transforms.hadamard import (
    Rotation,
    block_rotation,
    full_rotation,
    rotate,
    rotate_moment,
)
from qcore.transforms.permutation import HeadPermutation, Method, Permutation, permute


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """The transform of one linear layer's input, and with it of its weight.

    Attributes:
        width: features of the untouched input.
        permutation: applied first; None leaves the order.
        rotation: applied last; its `order` above `width` means expansion by zeros.
    """

    width: int
    permutation: Permutation | None = None
    rotation: Rotation | None = None

    def __post_init__(self):
        if self.permutation is not None and len(self.permutation.order) != self.width:
            raise InvalidRecipe(
                f"a permutation of {len(self.permutation.order)} does not fit {self.width} inputs",
                remedy="make it from this input's statistics",
            )
        if self.rotation is not None and self.rotation.order < self.width:
            raise InvalidRecipe(
                f"a rotation of {self.rotation.order} does not hold {self.width} inputs",
                remedy="make it for this width, or a larger one to expand",
            )

    @property
    def transformed_width(self) -> int:
        """Features after expansion."""
        return self.width if self.rotation is None else self.rotation.order

    @property
    def online(self) -> Transform:
        """The part that is left at run time once the permutation is fused upstream."""
        return replace(self, permutation=None)

    @property
    def fused(self) -> Transform:
        """The permutation alone, which the layers upstream can take."""
        return replace(self, rotation=None)

    def apply(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... transformed"]:
        """The product x T, for activations and for a weight along its inputs alike."""
        self._check(x.shape[-1])
        if self.permutation is not None:
            x = x[..., self.permutation.order.to(x.device)]
        return x if self.rotation is None else rotate(x, self.rotation)

    def apply_moment(
        self, moment: Float[Tensor, "width width"]
    ) -> Float[Tensor, "transformed transformed"]:
        """Tᵀ H T, for H = X̃ᵀX̃ and for G = X̃ᵀX (both sides transformed)."""
        self._check(moment.shape[-1])
        if self.permutation is not None:
            order = self.permutation.order.to(moment.device)
            moment = moment[order[:, None], order]
        return moment if self.rotation is None else rotate_moment(moment, self.rotation)

    def apply_mean(self, mean: Float[Tensor, " width"]) -> Float[Tensor, " width"]:
        """E|x_i| of the permuted input.

        Raises:
            NumericalError: there is a rotation; E|x| does not determine E|xR|.
        """
        self._check(mean.shape[-1])
        if self.rotation is not None:
            raise NumericalError(
                "E|x| of the inputs does not determine E|xR| of the rotated ones",
                remedy="rotate samples with `apply` and average their magnitudes",
            )
        return mean if self.permutation is None else mean[self.permutation.order.to(mean.device)]

    def _check(self, features: int) -> None:
        if features != self.width:
            raise InvalidRecipe(
                f"{features} features meet a transform of {self.width}",
                remedy="use the transform of this site",
            )


def site_transform(
    width: int,
    *,
    block: int | None = None,
    size: int | None = None,
    method: Method = "identity",
    mean: Float[Tensor, " width"] | None = None,
    absmax: Float[Tensor, " width"] | None = None,
    order_seed: int = 0,
    sign_seed: int | None = None,
) -> Transform:
    """The transform of a site with an online rotation, from its knobs and statistics.

    A full rotation mixes all channels whatever their order, so it takes no permutation; where it
    falls back to blocks (`Rotation.note`), the permutation is made for those.

    Args:
        width: features of the site's input.
        block: features to a block of the rotation; None rotates all at once.
        size: features after expansion; `width` where left out.
        method: how channels are shared over the blocks.
        mean: E|x_i|; any method but identity needs it.
        absmax: max|x_i|; zigzag and absmax need it.
        order_seed: of the random permutation.
        sign_seed: of the rotation's random signs; None for none.

    Raises:
        InvalidRecipe: sizes that do not fit, or a statistic that is missing.
    """
    size = width if size is None else size
    if size < width:
        raise InvalidRecipe(
            f"an expansion to {size} is narrower than the {width} inputs",
            remedy=f"choose {width} or more",
        )
    if block is None:
        rotation = full_rotation(size, seed=sign_seed)
    else:
        rotation = block_rotation(size, block, seed=sign_seed)
    if method == "identity" or rotation.is_full:
        return Transform(width, None, rotation)
    if mean is None:
        raise InvalidRecipe(
            f"permutation {method} needs the mean magnitudes of {width} channels, and got none",
            remedy="capture E|x| on calibration text, or choose identity",
        )
    permutation = permute(method, mean, rotation.block, absmax=absmax, seed=order_seed, slots=size)
    return Transform(width, permutation, rotation)


def head_transforms(
    head_dim: int,
    kv_heads: int,
    rotation: Rotation | None = None,
    permutation: HeadPermutation | None = None,
) -> tuple[Transform, ...]:
    """One transform per value head: its own order of channels, then the rotation they share (R2).

    Args:
        head_dim: channels of a head.
        kv_heads: value heads.
        rotation: of `head_dim` features; None for none.
        permutation: of all heads, from `permute_heads`; None leaves the order.

    Raises:
        InvalidRecipe: a permutation or a rotation of other heads.
    """
    if permutation is None:
        return (Transform(head_dim, None, rotation),) * kv_heads
    if len(permutation.values) != kv_heads * head_dim:
        raise InvalidRecipe(
            f"an order of {len(permutation.values)} values does not fit {kv_heads} heads of "
            f"{head_dim}",
            remedy="make it with the model's own head counts",
        )
    first = head_dim * torch.arange(kv_heads)[:, None]
    orders = permutation.values.view(kv_heads, head_dim) - first
    query_heads = len(permutation.outputs.order) // head_dim
    mass = permutation.outputs.mass.view(kv_heads, query_heads // kv_heads, -1).sum(1)
    method = permutation.outputs.method
    return tuple(
        Transform(head_dim, Permutation(orders[head], mass[head], method), rotation)
        for head in range(kv_heads)
    )
