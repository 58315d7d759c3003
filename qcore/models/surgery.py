"""Change a network, run it, and put it back: no reload between two recipes.

Two changes are known here. A linear's *weight* is replaced: the parameter is pointed at another
tensor while the old one is kept, so restoring copies nothing. A site's *input* is passed through a
function, once for all linears that share it: behind the norm where a norm writes the site, before
the linear otherwise.

Surgery takes tensors and functions; what a Format is stays unknown here.

A transformed network (`qcore.models.transformation`) computes rotations online, in front of some
linears. Those belong to the network: an input map comes behind them, or takes their place where one
kernel does both (`map_inputs(…, fused=…)`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qcore.models.families import Linear, Site, linear_module, sites
from qcore.models.plan import FeatureMap

InputMap = Callable[[Tensor], Tensor]
"""What becomes of a site's tensor [..., width]: same shape, same dtype."""


class OnlineMap:
    """The forward pre-hook of a linear whose input is rotated at run time.

    Attributes:
        transform: what the network computes there.
        fused: computes the transform and more in its stead, while some Surgery says so.
    """

    def __init__(self, transform: FeatureMap):
        self.transform = transform
        self.fused: InputMap | None = None

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The linear's arguments, the first one transformed."""
        change = self.transform.apply if self.fused is None else self.fused
        return (change(inputs[0]), *inputs[1:])

    def plain(self) -> OnlineMap:
        """The same without what was fused with it: what a float twin computes."""
        return OnlineMap(self.transform)


def online_map(model: nn.Module, site: Site) -> OnlineMap | None:
    """The online transform in front of a site's linear; None where there is none."""
    hooks = linear_module(model, site.linears[0])._forward_pre_hooks.values()
    return next((hook for hook in hooks if isinstance(hook, OnlineMap)), None)


FusedMap = Callable[[Site, FeatureMap], InputMap | None]
"""From a site and its online transform to one function for both; None leaves them apart."""


class Surgery:
    """Reversible changes to one model, which no other Surgery touches at the same time.

    >>> surgery = Surgery(network.model)                    # doctest: +SKIP
    >>> surgery.replace_weight(linear, quantized_weight)    # doctest: +SKIP
    >>> surgery.restore()                                   # doctest: +SKIP
    """

    def __init__(self, model: nn.Module):
        self._model = model
        self._float: dict[str, tuple[Tensor, Tensor]] = {}
        self._hooks: list[RemovableHandle] = []
        self._fused: list[OnlineMap] = []

    @property
    def sites(self) -> list[Site]:
        """Every input of the model that can be mapped, in execution order."""
        return sites(self._model)

    def replace_weight(self, linear: Linear, weight: Tensor) -> None:
        """Let `linear` multiply by `weight` [out, in], cast to the model's dtype and device."""
        parameter = linear_module(self._model, linear).weight
        if weight.shape != parameter.shape:
            raise ValueError(f"{linear.name} is {tuple(parameter.shape)}, not {(*weight.shape,)}")
        if linear.path not in self._float:
            self._float[linear.path] = (parameter, parameter.data)
        parameter.data = weight.detach().to(parameter.device, parameter.dtype).contiguous()

    def map_inputs(
        self, choose: Callable[[Site], InputMap | None], *, fused: FusedMap | None = None
    ) -> None:
        """Pass the tensor of every site through `choose(site)`, where that is not None.

        Args:
            choose: the map of a site; behind the online transform, where the network has one.
            fused: asked first for sites with an online transform: one function that computes the
                transform and the map.
        """
        for site in self.sites:
            online = online_map(self._model, site)
            both = fused(site, online.transform) if fused and online else None
            change = choose(site) if both is None else None
            if online is not None and both is not None:
                online.fused = both
                self._fused.append(online)
            elif change is not None:
                self._hooks += _install(self._model, site, change)

    def map_input(self, linear: Linear, change: InputMap | None) -> None:
        """Pass what one linear reads through `change`, where its neighbours need another map.

        Behind the online transform, where the network has one there.
        """
        if change is not None:
            module = linear_module(self._model, linear)
            self._hooks.append(module.register_forward_pre_hook(_before(change)))

    def remove_input_maps(self) -> None:
        """Let all sites pass unchanged again."""
        while self._hooks:
            self._hooks.pop().remove()
        while self._fused:
            self._fused.pop().fused = None

    def restore(self) -> None:
        """Take every change back; the model computes what it did before, bit for bit."""
        self.remove_input_maps()
        while self._float:
            _, (parameter, original) = self._float.popitem()
            parameter.data = original


@contextmanager
def changed(
    model: nn.Module,
    weights: Mapping[Linear, Tensor] | None = None,
    inputs: Callable[[Site], InputMap | None] | None = None,
) -> Iterator[Surgery]:
    """The model with other weights and mapped inputs inside the block, as before after it."""
    surgery = Surgery(model)
    try:
        for linear, weight in (weights or {}).items():
            surgery.replace_weight(linear, weight)
        if inputs is not None:
            surgery.map_inputs(inputs)
        yield surgery
    finally:
        surgery.restore()


def _install(model: nn.Module, site: Site, change: InputMap) -> list[RemovableHandle]:
    def behind(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return change(output)

    if site.producer is not None:
        return [model.get_submodule(site.producer).register_forward_hook(behind)]
    readers = [linear_module(model, linear) for linear in site.linears]
    if len(readers) == 1:
        return [readers[0].register_forward_pre_hook(_before(change))]
    # The residual stream itself is read by others, too: only what the linears see of it changes.
    once = _Once(change, len(readers))
    return [reader.register_forward_pre_hook(once) for reader in readers]


def _before(change: InputMap) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (change(inputs[0]), *inputs[1:])

    return before


class _Once:
    """Hook of several linears that read one tensor: maps it for the first, and keeps it for all."""

    def __init__(self, change: InputMap, readers: int):
        self._change, self._readers = change, readers
        self._seen: Tensor | None = None
        self._made: Tensor | None = None
        self._left = 0

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        made = self._made
        if made is None or inputs[0] is not self._seen:
            made = self._made = self._change(inputs[0])
            self._seen, self._left = inputs[0], self._readers
        self._left -= 1
        if not self._left:
            self._seen = self._made = None
        return (made, *inputs[1:])
