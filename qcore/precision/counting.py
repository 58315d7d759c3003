"""How many bits an assignment spends: the one count that budgets, reports and solvers share.

Every objective is a weighted mean over layers, so a layer's format adds a share of its own,
whatever the others have. With w_l weights and n_l input features in layer l, e its element bits:

    weights   Σ w_l e_l / Σ w_l
    bytes     the same with scales: e_l + (scale bits) / (weights that share a scale)
    both      ½ weights + ½ Σ n_l e_l / Σ n_l,   n_l = features of the site / layers that read it

An input that q, k and v read is one tensor: its features count once, a third with each reader. With
`weighting = "layers"` every layer's share is the same, whatever its size; since inputs take the
width of their weights, `both` is then the same number as `weights`.

Shares are exact fractions: whether a budget is met is no question of rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

from qcore.errors import InvalidRecipe
from qcore.formats.format import Format, named
from qcore.precision.layers import LayerSize
from qcore.recipe.precision import Precision


def average_bits(
    formats: Mapping[str, str],
    layers: Sequence[LayerSize],
    part: Precision,
    *,
    group: int | None = None,
) -> float:
    """Mean bits of an assignment, as the part's objective and weighting count them.

    Args:
        formats: the format of every layer, by name.
        layers: all layers of the network.
        part: says what is counted.
        group: weights that share a scale (INT formats).

    Raises:
        InvalidRecipe: a format that a layer's width cannot have.
    """
    shares = layer_shares(layers, part)
    return float(
        sum(
            share * counted_bits(layer, named(formats[layer.name], group), part)
            for layer, share in zip(layers, shares, strict=True)
        )
    )


def layer_shares(layers: Sequence[LayerSize], part: Precision) -> list[Fraction]:
    """The weight of each layer in the mean; they sum to one."""
    if part.weighting == "layers":
        return [Fraction(1, len(layers))] * len(layers)
    weights = sum(layer.weights for layer in layers)
    by_weights = [Fraction(layer.weights, weights) for layer in layers]
    if part.objective != "both":
        return by_weights
    readers = Counter(layer.site for layer in layers)
    inputs = [Fraction(layer.inputs, readers[layer.site]) for layer in layers]
    features = sum(inputs)
    return [(w + n / features) / 2 for w, n in zip(by_weights, inputs, strict=True)]


def counted_bits(layer: LayerSize, fmt: Format, part: Precision) -> Fraction:
    """Bits per element of a layer in a format: elements alone, or scales too for `bytes`.

    Raises:
        InvalidRecipe: the format's group does not divide the layer's width.
    """
    try:
        groups = fmt.groups(layer.inputs)
    except InvalidRecipe as error:
        raise InvalidRecipe(f"{layer.name}: {error.fact}", remedy=error.remedy) from error
    if part.objective != "bytes":
        return Fraction(fmt.bits)
    return fmt.bits + Fraction(groups * (fmt.scale_bits + fmt.zero_bits), layer.inputs)
