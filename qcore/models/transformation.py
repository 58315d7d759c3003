"""Rotate, permute and expand a loaded network, and put it back.

    before                              after
    embedding            E              E T₁
    q, k, gate, up       W              W diag(γ) T₁          norm weights γ become 1
    v                    W              T₂ᵀ W diag(γ) T₁      T₂ per value head
    o                    W              T₁ᵀ W T₂ T_o          input: x ↦ x T_o at run time
    gate, up (rows)      W              PᵀW …
    down                 W              T₁ᵀ W P R₄            input: x ↦ x R₄ at run time
    head                 W              W diag(γ) T₁          untied from the embedding

A bias lies on the output side: it is transformed as the outputs are, and not by what happens to the
inputs. In floating point the logits stay what they were.

Parameters are pointed at new tensors and the old ones kept, so `restore` copies nothing and brings
back the very same bits. Weights are computed in float32 at least and rounded once to the network's
dtype. An expanded input makes its linear wider: `weight` and `in_features` grow together, so that
Surgery, the capture and the walk work on a transformed network as on any other.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qcore.errors import BrokenCheckpoint
from qcore.models.families import Linear, Site, family_of, linear_module, sites
from qcore.models.folding import gain_of, norms, untie, without_gain
from qcore.models.plan import FeatureMap, PerHead, Plan, SiteChange
from qcore.models.regions import Dimensions, Region, dimensions, regions
from qcore.models.surgery import InputMap, OnlineMap, online_map


def transform(model: nn.Module, plan: Plan) -> Transformed:
    """Carry out a plan on a network, reversibly.

    The network is changed in place, and nobody may capture it as the untouched one until
    `restore`. Changes that are made later, by a Surgery, must be taken back before.

    Args:
        model: a causal language model of a supported family, untouched.
        plan: what to do; see `qcore.models.plan` for the order of things.

    Raises:
        InvalidRecipe: a transform that the network has no place for.
        UnsupportedModel: a norm that no rotation can pass.
        BrokenCheckpoint: a weight that is NaN or infinite; the network is as before.
    """
    if any(online_map(model, site) for site in sites(model)):
        raise ValueError("the network carries a plan already; restore it first")
    plan.require_fit(dimensions(model))
    return Transformed(model, plan)


class Transformed:
    """A network that carries a plan; made by `transform`.

    >>> with transform(network.model, plan) as transformed:     # doctest: +SKIP
    ...     hessian = transformed.moment(site, captured)
    """

    def __init__(self, model: nn.Module, plan: Plan):
        self._model = model
        self._plan = plan
        self._changes = _changes(model, plan)
        self._originals: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}
        self._undo = ExitStack()
        try:
            self._install()
        except BaseException:
            self.restore()
            raise

    def __enter__(self) -> Transformed:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def restore(self) -> None:
        """Take everything back; the network computes what it did before, bit for bit."""
        self._undo.close()
        self._originals.clear()
        self._weights.clear()

    def change(self, site: Site) -> SiteChange:
        """The map from the site's untouched inputs, moments and samples to the present ones.

        Linears that share a site share it.
        """
        found = self._changes.get(site.linears[0].path)
        return SiteChange() if found is None else found.inputs

    def moment(
        self, site: Site, hessian: Float[Tensor, "width width"]
    ) -> Float[Tensor, "transformed transformed"]:
        """H of the transformed network from H of the untouched one; see SiteChange."""
        return self.change(site).apply_moment(hessian)

    def site_map(self, site: Site) -> InputMap | None:
        """The map computed on a site's tensor at run time; None where all is fused."""
        online = online_map(self._model, site)
        return None if online is None else online.transform.apply

    @torch.no_grad()
    def weight(self, linear: Linear) -> Float[Tensor, "out transformed"]:
        """The transformed float weight, in float32 at least: what is to be quantized.

        A network in half precision computes with this, rounded; it is made anew on each call.
        """
        module = linear_module(self._model, linear)
        found = self._weights.get(linear.path)
        if found is None:
            return module.weight.data.to(_work_dtype(module.weight))
        if found.dtype == _work_dtype(found):
            return found
        return self._changes[linear.path].weight(self._originals[linear.path])

    @torch.no_grad()
    def _install(self) -> None:
        model, family = self._model, family_of(self._model)
        if self._plan.residual is not None:
            shared = untie(model)
            if shared is not None:
                head = model.get_submodule(family.head)
                self._undo.callback(setattr, head, "weight", shared)
        for path, change in self._changes.items():
            module = model.get_submodule(path)
            assert isinstance(module, nn.Linear | nn.Embedding)
            self._change_module(path, module, change)
        if self._plan.residual is not None:
            for path in sorted(set(norms(model).values())):
                weight = model.get_submodule(path).get_parameter("weight")
                self._point(weight, without_gain(model, path))

    def _change_module(self, path: str, module: nn.Linear | nn.Embedding, change: _Change) -> None:
        original = module.weight.data
        _require_finite(f"{path}.weight", original)
        made = change.weight(original).to(original.dtype)
        self._originals[path], self._weights[path] = original, made
        self._point(module.weight, made)
        if not isinstance(module, nn.Linear):
            return
        if module.bias is not None and change.output is not None:
            _require_finite(f"{path}.bias", module.bias.data)
            made_bias = change.bias(module.bias.data).to(module.bias.dtype)
            self._point(module.bias, made_bias)
        if module.in_features != made.shape[1]:
            self._undo.callback(setattr, module, "in_features", module.in_features)
            module.in_features = made.shape[1]
        if change.online is not None:
            hook = module.register_forward_pre_hook(OnlineMap(change.online))
            self._undo.callback(hook.remove)

    def _point(self, parameter: Tensor, tensor: Tensor) -> None:
        self._undo.callback(setattr, parameter, "data", parameter.data)
        parameter.data = tensor


@dataclass(slots=True)
class _Change:
    """The change of one module's tensors.

    Attributes:
        inputs: of a linear's input side.
        output: of the output side, None for nothing.
        online: the part of `inputs` that is computed at run time.
        embedding: rows of the weight are outputs already.
    """

    inputs: SiteChange = field(default_factory=SiteChange)
    output: FeatureMap | None = None
    online: FeatureMap | None = None
    embedding: bool = False

    def weight(self, weight: Tensor) -> Tensor:
        """The weight afterwards, contiguous, in the work dtype."""
        weight = weight.to(_work_dtype(weight))
        if self.embedding:
            return weight if self.output is None else self.output.apply(weight).contiguous()
        weight = self.inputs.apply_weight(weight)
        if self.output is not None:
            weight = self.output.apply(weight.T).T  # TᵀW: its columns are outputs
        return weight.contiguous()

    def bias(self, bias: Tensor) -> Tensor:
        """The bias afterwards, in the work dtype."""
        bias = bias.to(_work_dtype(bias))
        return bias if self.output is None else self.output.apply(bias)


def _changes(model: nn.Module, plan: Plan) -> dict[str, _Change]:
    """Module path → what happens there, for the modules to which anything does."""
    size, embedding = dimensions(model), family_of(model).embedding
    changes: dict[str, _Change] = defaultdict(_Change)
    for region in regions(model):
        entering, leaving = _maps(region, plan, size)
        for path in region.producers if entering is not None else ():
            changes[path].output = entering
            changes[path].embedding = path == embedding
        for path in region.consumers if leaving is not None else ():
            change = changes[path]
            assert leaving is not None
            change.inputs = SiteChange(maps=(*change.inputs.maps, leaving))
            change.online = leaving if region.kind == "online" else change.online
    if plan.residual is not None:
        for path, norm in norms(model).items():
            gain = gain_of(model, norm)
            _require_finite(f"{norm}.weight", gain)
            changes[path].inputs = SiteChange(gain, changes[path].inputs.maps)
    return dict(changes)


def _maps(
    region: Region, plan: Plan, size: Dimensions
) -> tuple[FeatureMap | None, FeatureMap | None]:
    """The maps that a region's producers and its consumers carry."""
    if region.block is None:
        return plan.residual, plan.residual
    block = plan.block(region.block)
    if region.place == "values":
        if not block.values:
            return None, None
        return PerHead(block.values), PerHead(block.values, size.sharing)
    found = block.attention_output if region.place == "attention_output" else block.mlp_hidden
    if found is None:
        return None, None
    if region.kind == "permutation":
        fused = None if found.permutation is None else found.fused
        return fused, fused
    return None, found.online


def _require_finite(name: str, tensor: Tensor) -> None:
    # A finite sum has finite terms, and reads the tensor once; half precision may overflow in it.
    if bool(tensor.sum().isfinite()):
        return
    count = int((~tensor.isfinite()).sum())
    if count:
        raise BrokenCheckpoint(
            f"{name} holds {count} NaN or infinite weights", remedy="download it again"
        )


def _work_dtype(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
