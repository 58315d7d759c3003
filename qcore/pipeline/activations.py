"""Activation rounding in a network: the one place that decides what serves each input.

Layers that read one input in one format share its rounding; layers that disagree round for
themselves. Where an online block Hadamard stands in front of a layer, rotation and rounding are one
call of `kernels.rotate_quantize.operation`, padding and signs included: one
kernel on a GPU that can run it,
elsewhere the two operations one after the other. Rotations of all features at once have no such
kernel, so rounding follows them.

What E8M0 cannot hold of the inputs' shared exponents is counted on the way (`HeldExponents`), where
somebody asks for it: one look at each block's largest number, no wait for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor

from qcore.formats.coding import fake_quantize, quantizer_of
from qcore.formats.format import Format
from qcore.formats.limits import held_exponents
from qcore.models.families import Linear, Site
from qcore.models.plan import FeatureMap
from qcore.models.surgery import InputMap, Surgery
from qcore.transforms.algebra import Transform
from qcore.transforms.hadamard import rotate_and_quantize

FormatOf = Callable[[str], Format | None]
"""From a layer's name to the format of its inputs; None leaves them in float."""


class HeldExponents:
    """Blocks of inputs whose shared exponent was held at E8M0's end, by layer.

    Layers that share one rounding are counted once, under the first one's name.
    """

    def __init__(self):
        self._counts: dict[str, Tensor] = {}

    def watch(self, name: str, fmt: Format | None, change: InputMap | None) -> InputMap | None:
        """The same map, whose input is counted first; the map itself for formats without E8M0."""
        if change is None or fmt is None or fmt.kind != "mx":
            return change

        def counted(x: Tensor) -> Tensor:
            self._add(name, held_exponents(x, fmt))
            return change(x)

        return counted

    def watch_rounded(self, name: str, fmt: Format, change: InputMap) -> InputMap:
        """The same map, whose output is counted, where what it rounds is never seen."""
        if fmt.kind != "mx":
            return change

        def counted(x: Tensor) -> Tensor:
            rounded = change(x)
            self._add(name, held_exponents(rounded, fmt, rounded=True))
            return rounded

        return counted

    def take(self) -> dict[str, int]:
        """The counts since the last call that are not 0, by layer."""
        counts = {name: int(count) for name, count in self._counts.items()}
        self._counts.clear()
        return {name: count for name, count in counts.items() if count}

    def _add(self, name: str, count: Tensor) -> None:
        known = self._counts.get(name)
        self._counts[name] = count if known is None else known + count


def quantize_inputs(
    surgery: Surgery, format_of: FormatOf, held: HeldExponents | None = None
) -> None:
    """Let the inputs of all layers be rounded at run time.

    Args:
        surgery: takes it back with everything else.
        format_of: asked for every linear of the network, by its name.
        held: counts what E8M0 cannot hold.

    Raises:
        InvalidRecipe: a format's group does not divide what an online rotation puts out.
    """

    def shared(site: Site) -> InputMap | None:
        found = _formats(site.linears, format_of)
        return rounding(site.linears[0].name, found.pop()) if len(found) == 1 else None

    def rounding(name: str, fmt: Format | None) -> InputMap | None:
        change = rounding_to(fmt)
        return change if held is None else held.watch(name, fmt, change)

    def fused(site: Site, online: FeatureMap) -> InputMap | None:
        found = _formats(site.linears, format_of)
        fmt = found.pop() if len(found) == 1 else None
        change = _rotating_and_rounding(online, fmt)
        if change is None or fmt is None or held is None:
            return change
        return held.watch_rounded(site.linears[0].name, fmt, change)

    surgery.map_inputs(shared, fused=fused)
    for site in surgery.sites:
        if len(_formats(site.linears, format_of)) > 1:
            for linear in site.linears:
                surgery.map_input(linear, rounding(linear.name, format_of(linear.name)))


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
