"""A transformed network computes what it did, and knows what became of its weights and moments."""

import functools
import itertools
from pathlib import Path

import pytest
import torch

from qcore.calibration.capture import capture
from qcore.calibration.sequential import capture_sequential
from qcore.errors import BrokenCheckpoint, InvalidRecipe, UnsupportedModel
from qcore.machine.home import home
from qcore.models.families import family_of, linear_module, linears, sites
from qcore.models.loading import load, resolve
from qcore.models.plan import BlockPlan, Plan
from qcore.models.regions import dimensions
from qcore.models.surgery import Surgery, changed
from qcore.models.transformation import transform
from qcore.recipe import ModelRef
from qcore.transforms.algebra import Transform, head_transforms
from qcore.transforms.hadamard import block_rotation, full_rotation
from tests.models.factories import MAKERS, ROTATED, tiny_model, tiny_windows
from tests.models.helpers_plans import (
    ATTENTION_OUTPUT,
    MLP_HIDDEN,
    RESIDUAL,
    VALUES,
    channel_order,
    everything,
    plan_for,
)
from tests.models.test_demo import needs_assets

VARIANTS = {
    f"{family}, {'tied' if tied else 'untied'}": (family, {"tie_word_embeddings": tied})
    for family in MAKERS
    for tied in (False, True)
    if not tied or family in ("llama", "qwen2", "qwen3", "gemma", "granite")
}
VARIANTS["llama, biased"] = ("llama", {"attention_bias": True, "mlp_bias": True})
WINDOWS = tiny_windows(1, 8)
DENSE = ("llama", "qwen2", "qwen3")
"""Tried in all combinations; the others differ from them in scalars and in where norms stand."""


@functools.cache
def network(variant, blocks=3):
    """A float64 network that every test gives back as it was, and its logits."""
    family, more = VARIANTS[variant]
    model = tiny_model(family, torch.float64, **more)
    del model.model.layers[blocks:]
    model.config.num_hidden_layers = blocks
    return model, logits(model)


@torch.no_grad()
def logits(model, windows=WINDOWS):
    return model(windows, use_cache=False).logits


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("residual", RESIDUAL)
@pytest.mark.parametrize("variant", [name for name in VARIANTS if name.startswith(DENSE)])
def test_transforms_leave_the_logits_unchanged(variant, residual, values):
    model, before = network(variant, blocks=2)
    for output, hidden in itertools.product(ATTENTION_OUTPUT, MLP_HIDDEN):
        with transform(model, plan_for(model, residual, values, output, hidden)):
            after = logits(model)
        assert relative(after, before) < 1e-5, (output, hidden)
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if not name.startswith(DENSE)])
def test_every_family_keeps_its_logits_under_all_that_it_has_a_place_for(variant):
    model, before = network(variant, blocks=2)
    plans = [everything(model), plan_for(model, "none", "rotated", "block", "full")]
    if family_of(model).rotates_residual:
        plans += [plan_for(model, choice, "none", "none", "none") for choice in RESIDUAL[1:]]
    for plan in plans:
        with transform(model, plan):
            assert relative(logits(model), before) < 1e-5
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("family", sorted(set(MAKERS) - set(ROTATED)))
def test_a_norm_behind_a_branch_refuses_rotations_of_the_residual_stream(family):
    model, before = network(f"{family}, untied")
    for choice in RESIDUAL[1:]:
        with pytest.raises(UnsupportedModel, match=r"post_feedforward_layernorm.*\(R1\)") as told:
            transform(model, plan_for(model, choice, "none", "none", "none"))
        assert "r1 to false" in told.value.remedy
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_plan_for_everything_does_change_every_weight(variant):
    model, _ = network(variant)
    before = {name: item.data for name, item in model.named_parameters(remove_duplicate=False)}
    with transform(model, everything(model)):
        after = dict(model.named_parameters(remove_duplicate=False))
        kept = {
            name
            for name in before
            if before[name].shape == after[name].shape and torch.equal(before[name], after[name])
        }
    # Head norms and the biases of q and k lie outside every region.
    family = family_of(model)
    outside = ["q_proj.bias", "k_proj.bias"]
    outside += [f"{path}.weight" for path in family.head_norms]
    if not family.rotates_residual:  # what reads or writes the stream in its own basis
        outside += ["norm.weight", "q_proj.weight", "k_proj.weight", "lm_head.weight"]
        outside += ["embed_tokens.weight", *(f"{path}.weight" for path in family.closing_norms)]
        outside += [f"{site.producer}.weight" for site in family.sites if site.producer]
    assert all(name.endswith(tuple(outside)) for name in kept)


@pytest.mark.parametrize("variant", VARIANTS)
def test_restoring_gives_back_the_very_same_tensors(variant):
    model, before = network(variant)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    addresses = {name: item.data_ptr() for name, item in parameters.items()}
    transformed = transform(model, everything(model))
    transformed.restore()
    now = dict(model.named_parameters(remove_duplicate=False))
    assert all(now[name] is parameters[name] for name in parameters)
    assert {name: item.data_ptr() for name, item in now.items()} == addresses
    for linear in linears(model):
        module = linear_module(model, linear)
        assert module.in_features == module.weight.shape[1]
        assert not module._forward_pre_hooks
    assert torch.equal(logits(model), before)


def test_the_head_is_untied_only_where_the_residual_stream_is_transformed():
    model, _ = network("llama, tied")
    head, embedding = model.lm_head, model.model.embed_tokens
    with transform(model, plan_for(model, "none", "rotated", "block", "full")):
        assert head.weight is embedding.weight
    with transform(model, plan_for(model, "rotated", "none", "none", "none")):
        assert head.weight is not embedding.weight
    assert head.weight is embedding.weight


def test_folded_norms_are_ones():
    model, _ = network("qwen3, untied")
    head_norm = model.model.layers[0].self_attn.q_norm.weight
    before = head_norm.clone()
    with transform(model, plan_for(model, "folded", "none", "none", "none")):
        layer = model.model.layers[1]
        for norm in (layer.input_layernorm, layer.post_attention_layernorm, model.model.norm):
            assert bool((norm.weight == 1).all())
        assert torch.equal(head_norm, before)


def test_biases_turn_with_the_outputs_and_not_with_the_inputs():
    model, _ = network("qwen2, untied")
    attention = model.model.layers[0].self_attn
    query, value = attention.q_proj.bias.clone(), attention.v_proj.bias.clone()
    rotation = full_rotation(8, seed=2)
    size = dimensions(model)
    heads = head_transforms(size.head_dim, size.kv_heads, rotation)
    blocks = (BlockPlan(heads),) * size.blocks
    with transform(model, Plan(Transform(32, None, full_rotation(32)), blocks)):
        assert torch.equal(attention.q_proj.bias, query)
        turned = Transform(8, None, rotation).apply(value.view(-1, 8)).flatten()
        assert torch.equal(attention.v_proj.bias, turned)


@pytest.mark.parametrize("family", MAKERS)
def test_moments_of_the_transformed_network_follow_from_those_of_the_untouched_one(family):
    model, windows = tiny_model(family), tiny_windows(8, 16)
    before = list(capture(model, windows))
    with transform(model, everything(model)) as transformed:
        after = list(capture(model, windows))
        for site in sites(model):
            old, new = before[site.block].sites[site.name], after[site.block].sites[site.name]
            assert relative(transformed.moment(site, old.hessian), new.hessian) < 1e-4
            assert relative(transformed.change(site).apply(old.sample), new.sample) < 1e-4


@pytest.mark.parametrize("family", MAKERS)
def test_moments_pass_unchanged_where_nothing_is_planned(family):
    model, _ = network(f"{family}, untied")
    with transform(model, Plan()) as transformed:
        for site in sites(model):
            width = linear_module(model, site.linears[0]).in_features
            moment = torch.randn(width, width)
            assert transformed.change(site).gain is None
            assert not transformed.change(site).maps
            assert torch.equal(transformed.moment(site, moment), moment)
            assert transformed.site_map(site) is None


def test_a_channel_whose_norm_weight_is_zero_still_changes_no_logits():
    model = tiny_model("llama", torch.float64)
    model.model.layers[1].input_layernorm.weight[[3, 8]] = 0
    before = logits(model)
    with transform(model, everything(model)):
        assert relative(logits(model), before) < 1e-5


def test_what_the_capture_could_not_see_behind_a_zero_norm_weight_keeps_its_energy():
    model, windows = tiny_model("llama"), tiny_windows(8, 16)
    model.model.layers[1].input_layernorm.weight[[3, 8]] = 0
    (before,) = capture(model, windows, skip={0, 2})
    with transform(model, plan_for(model, "rotated", "none", "none", "none")) as transformed:
        (after,) = capture(model, windows, skip={0, 2})
        site = next(s for s in sites(model) if (s.block, s.name) == (1, "attention_input"))
        estimate = transformed.moment(site, before.sites[site.name].hessian)
        assert transformed.change(site).unseen == 2
    seen = after.sites[site.name].hessian
    assert float(estimate.trace()) == pytest.approx(float(seen.trace()), rel=1e-4)
    assert float(torch.linalg.eigvalsh(estimate.double())[0]) > 0


def test_an_expanded_linear_is_as_wide_as_its_input():
    model, _ = network("llama, untied")
    down = linears(model)[6]
    with transform(model, plan_for(model, "none", "none", "none", "expanded")) as transformed:
        module = linear_module(model, down)
        assert module.in_features == 52
        assert transformed.weight(down).shape == module.weight.shape == (32, 52)
        (site,) = (s for s in sites(model) if down in s.linears)
        online = transformed.site_map(site)
        assert online is not None
        assert online(torch.ones(2, 48, dtype=torch.float64)).shape == (2, 52)


def test_surgery_works_on_a_transformed_network_as_on_any_other():
    model, _ = network("llama, tied")
    down = linears(model)[6]
    with transform(model, everything(model)) as transformed:
        before = logits(model)
        surgery = Surgery(model)
        surgery.replace_weight(down, torch.zeros(32, 80))
        assert not torch.equal(logits(model), before)
        assert transformed.weight(down).abs().sum() > 0
        surgery.restore()
        assert torch.equal(logits(model), before)


def test_input_maps_come_behind_online_transforms_and_once_a_site():
    model, _ = network("llama, untied")
    seen = []

    def choose(site):
        def note(x):
            seen.append((site.block, site.name, x.shape[-1]))
            return x

        return note

    with transform(model, everything(model)), changed(model, inputs=choose):
        logits(model)
    widths = {
        "attention_input": 32,
        "attention_output": 40,
        "mlp_input": 32,
        "mlp_hidden": 80,
    }
    assert seen == [(site.block, site.name, widths[site.name]) for site in sites(model)]


def test_one_function_may_compute_the_online_transform_and_what_follows():
    model, before = network("llama, untied")
    calls = []

    def fused(site, online):
        def both(x):
            calls.append(site.name)
            return online.apply(x)

        return both if site.name == "mlp_hidden" else None

    def refuse(site):
        assert site.name != "mlp_hidden"

    with transform(model, everything(model)):
        surgery = Surgery(model)
        surgery.map_inputs(refuse, fused=fused)
        assert relative(logits(model), before) < 1e-5
        assert calls == ["mlp_hidden"] * 3
        surgery.restore()
        logits(model)
    assert len(calls) == 3


def test_the_float_stream_of_a_layer_by_layer_capture_keeps_online_transforms():
    model = tiny_model("llama")
    found = []
    with (
        transform(model, everything(model)),
        changed(model, inputs=lambda site: lambda x: x + 0.01),
    ):
        capture_sequential(
            model, tiny_windows(), lambda site, got: found.append((site, got)), float_stream=True
        )
    with transform(model, everything(model)):
        plain = list(capture(model, tiny_windows()))
    for site, got in found:
        expected = plain[site.block].sites[site.name].hessian
        assert got.cross.shape == expected.shape
        # The rows are shifted inputs, the columns float ones, and a shift moves them but little.
        assert 0 < relative(got.cross, expected) < 0.2


def test_half_precision_weights_are_rounded_once():
    model = tiny_model("qwen2", torch.bfloat16)
    double = tiny_model("qwen2", torch.bfloat16).double()
    with (
        transform(model, everything(model)) as transformed,
        transform(double, everything(double)) as exact,
    ):
        for linear, twin in zip(linears(model), linears(double), strict=True):
            weight = transformed.weight(linear)
            assert weight.dtype == torch.float32
            assert relative(weight.double(), exact.weight(twin)) < 1e-6
            assert torch.equal(linear_module(model, linear).weight, weight.bfloat16())


def test_weights_that_are_not_finite_are_refused_and_nothing_is_changed():
    model = tiny_model("llama", tie_word_embeddings=True)
    before = logits(model)
    last = linear_module(model, linears(model)[-1]).weight
    good = last[0, :2].clone()
    last[0, :2] = torch.tensor([float("nan"), float("inf")])
    with pytest.raises(BrokenCheckpoint, match=r"down_proj.weight holds 2 NaN or infinite"):
        transform(model, everything(model))
    last[0, :2] = good
    assert torch.equal(logits(model), before)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_norm_weight_that_is_not_finite_is_refused():
    model = tiny_model("llama")
    model.model.norm.weight[5] = float("nan")
    with pytest.raises(BrokenCheckpoint, match=r"model.norm.weight holds 1 NaN"):
        transform(model, plan_for(model, "rotated", "none", "none", "none"))


def online(width, **more):
    return BlockPlan(attention_output=Transform(width, **more))


REFUSED = {
    "a residual transform of another width": (
        lambda: Plan(Transform(64)),
        "a transform of 64 features does not fit the residual stream with 32; make it for 32",
    ),
    "an expanded residual stream": (
        lambda: Plan(Transform(32, None, full_rotation(40))),
        "the residual stream cannot grow from 32 to 40 features; expand online rotations only",
    ),
    "an expanded head": (
        lambda: Plan(blocks=(BlockPlan((Transform(8, None, full_rotation(12)),) * 2),) * 3),
        "a value head of block 0 cannot grow from 8 to 12",
    ),
    "a map for every query head": (
        lambda: Plan(blocks=(BlockPlan((Transform(8),) * 4),) * 3),
        "4 maps do not fit the 2 value heads of block 0; give 2",
    ),
    "a permutation across heads": (
        lambda: Plan(blocks=(online(32, permutation=channel_order(32, 4)),) * 3),
        "a permutation of all 32 channels at o_proj's input in block 0 has no place upstream",
    ),
    "a plan for some blocks": (
        lambda: Plan(blocks=(BlockPlan(),) * 2),
        "2 blocks are planned and the network has 3; plan every block, or none",
    ),
    "a block that does not divide": (
        lambda: Plan(blocks=(BlockPlan(mlp_hidden=Transform(48, None, block_rotation(48, 32))),)),
        "block 32 does not divide 48; choose 2, 4, 8, 16",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_transform_without_a_place_is_refused(case):
    make, message = REFUSED[case]
    model, before = network("llama, untied")
    with pytest.raises(InvalidRecipe, match=message):
        transform(model, make())
    assert torch.equal(logits(model), before)


def test_a_norm_that_no_rotation_can_pass_is_refused():
    model = tiny_model("llama")
    model.model.norm = torch.nn.LayerNorm(32)
    with pytest.raises(UnsupportedModel, match=r"model.norm is a LayerNorm with bias, weight"):
        transform(model, plan_for(model, "rotated", "none", "none", "none"))


def test_a_second_plan_on_top_of_an_online_one_is_a_programming_error():
    model, _ = network("llama, untied")
    with (
        transform(model, everything(model)),
        pytest.raises(ValueError, match="carries a plan already"),
    ):
        transform(model, everything(model))


@pytest.mark.demo
@needs_assets
def test_the_demo_models_logits_stay_within_a_ten_thousandth():
    root: Path = home()
    model = load(resolve(ModelRef(), root), root).model
    size = dimensions(model)
    windows = torch.arange(64).view(2, 32) * 700
    before = logits(model, windows)
    blocks = tuple(
        BlockPlan(
            head_transforms(size.head_dim, size.kv_heads, full_rotation(size.head_dim)),
            Transform(size.attention, None, full_rotation(624)),
            Transform(
                size.intermediate,
                channel_order(size.intermediate, 32, block, 1792),
                block_rotation(1792, 32),
            ),
        )
        for block in range(size.blocks)
    )
    with transform(model, Plan(Transform(576, None, full_rotation(576, seed=0)), blocks)):
        assert relative(logits(model, windows), before) < 1e-4
    assert torch.equal(logits(model, windows), before)
