"""What a plain forward shows of a network, to compare captures with."""

import torch

from qcore.models.families import linear_module, sites


def inputs_of(model, windows):
    """What every site sees in a plain forward: (block, site) → [tokens, width] in float64."""
    read = {}
    handles = [
        linear_module(model, site.linears[0]).register_forward_pre_hook(
            lambda module, inputs, key=(site.block, site.name): read.__setitem__(
                key, inputs[0].flatten(0, 1).double()
            )
        )
        for site in sites(model)
    ]
    with torch.no_grad():
        model(windows, use_cache=False)
    for handle in handles:
        handle.remove()
    return read


def relative(found, expected):
    """The squared difference as a share of what was expected."""
    return float((found.double() - expected).square().sum() / expected.square().sum())
