"""Activation rounding in a network: the one place that decides what serves each input.

Layers that read one input in one format share its rounding; layers that disagree round for
themselves. Where an online block Hadamard stands in front of a layer, rotation and rounding are one
call of `kernels.rotate_quantize.operation`, padding and signs included: one
kernel on a GPU that can run it,
elsewhere the two operations one after the other. Rotations of all features at once have no such
kernel, so rounding follows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from qcore.formats.coding import fake_quantize, quantizer_of
from qcore.formats.format import Format
from qcore.models.families import Linear, Site
from qcore.models.plan import FeatureMap
from qcore.models.surgery import InputMap, Surgery
from qcore.transforms.algebra import Transform
from qcore.transforms.hadamard import rotate_and_quantize

FormatOf = Callable[[str], Format | None]
"""From a layer's name to the format of its inputs; None leaves them in float."""


def quantize_inputs(surgery: Surgery, format_of: FormatOf) -> None:
    """Let the inputs of all layers be rounded at run time.

    Args:
        surgery: takes it back with everything else.
        format_of: asked for every linear of the network, by its name.

    Raises:
        InvalidRecipe: a format's group does not divide what an online rotation puts out.
    """

    def shared(site: Site) -> InputMap | None:
        found = _formats(site.linears, format_of)
        return rounding_to(found.pop()) if len(found) == 1 else None

    def fused(site: Site, online: FeatureMap) -> InputMap | None:
        found = _formats(site.linears, format_of)
        return _rotating_and_rounding(online, found.pop()) if len(found) == 1 else None

    surgery.map_inputs(shared, fused=fused)
    for site in surgery.sites:
        if len(_formats(site.linears, format_of)) > 1:
            for linear in site.linears:
                surgery.map_input(linear, rounding_to(format_of(linear.name)))


def rounding_to(fmt: Format | None) -> InputMap | None:
    """The map that rounds an input dynamically; None for float."""
    return None if fmt is None else lambda x: fake_quantize(x, fmt)


def _rotating_and_rounding(online: FeatureMap, fmt: Format | None) -> InputMap | None:
    """One map for a block Hadamard and the rounding behind it; None where they stay apart."""
    rotation = online.rotation if isinstance(online, Transform) else None
    if fmt is None or rotation is None or rotation.kind != "hadamard" or rotation.is_full:
        return None
    fmt.groups(rotation.order)
    quantizer = quantizer_of(fmt)
    return lambda x: rotate_and_quantize(x, rotation, quantizer)


def _formats(linears: Iterable[Linear], format_of: FormatOf) -> set[Format | None]:
    return {format_of(linear.name) for linear in linears}
