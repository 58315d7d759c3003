import pytest
import torch

from kernels.dispatch import SWITCH, DispatchCount, record_choices
from kernels.rotate_quantize.operation import APART
from qcore.errors import InvalidRecipe
from qcore.formats.coding import fake_quantize
from qcore.formats.format import named
from qcore.models.families import linear_module, linears, sites
from qcore.models.plan import BlockPlan, Plan
from qcore.models.surgery import Surgery
from qcore.models.transformation import transform
from qcore.pipeline.activations import quantize_inputs, rounding_to
from qcore.transforms.algebra import Transform
from qcore.transforms.hadamard import block_rotation
from tests.models.factories import MAKERS, tiny_model, tiny_windows
from tests.models.helpers_plans import plan_for

FORMATS = ("int4_asym", "int8", "mxfp4")
ROTATED = Plan(
    blocks=(
        BlockPlan(
            attention_output=Transform(32, None, block_rotation(32, 16, seed=3)),
            mlp_hidden=Transform(48, None, block_rotation(96, 16, seed=7)),
        ),
    )
    * 3
)
"""Online blocks with signs in front; the second one expands, too."""


def logits(model):
    with torch.no_grad():
        return model(tiny_windows()[:2, :12]).logits


@pytest.mark.parametrize("name", MAKERS)
def test_linears_that_share_an_input_share_its_quantization(name):
    model = tiny_model(name)
    surgery = Surgery(model)
    quantize_inputs(surgery, lambda layer: named("int4_asym"))
    with record_choices() as record, torch.no_grad():
        model(tiny_windows())
    rounded = [each for each in record.counts() if each.operation == "integer rounding"]
    assert sum(each.count for each in rounded) == len(sites(model)) == 4 * 3
    assert len(linears(model)) == 7 * 3


def test_the_rotated_input_is_what_is_rounded_and_multiplied():
    model, fmt = tiny_model(), named("int4")
    down = linears(model)[6]
    module, raw, seen = linear_module(model, down), [], []

    def before_the_rotation(module, inputs):
        raw.append(inputs[0])

    module.register_forward_pre_hook(before_the_rotation)
    module.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    plan = plan_for(model, "rotated", "rotated", "none", "block")
    with transform(model, plan):
        surgery = Surgery(model)
        quantize_inputs(surgery, lambda layer: fmt)
        with torch.no_grad():
            model(tiny_windows())
        surgery.restore()
    rotated = plan.block(0).mlp_hidden.online.apply(raw[0])
    assert torch.equal(seen[0], fake_quantize(rotated, fmt))
    assert not torch.equal(seen[0], rotated)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_rotating_and_rounding_in_one_call_changes_no_bit(name, dtype):
    model, change = tiny_model().to(dtype), rounding_to(named(name))
    with transform(model, ROTATED):
        surgery = Surgery(model)
        surgery.map_inputs(lambda site: change)
        apart = logits(model)
        surgery.restore()
        quantize_inputs(surgery, lambda layer: named(name))
        with record_choices() as record:
            together = logits(model)
        surgery.restore()
        plain = logits(model)
    assert torch.equal(together, apart)
    assert not torch.equal(together, plain)
    assert DispatchCount("rotation with rounding", "torch", APART, 2 * 3) in record.counts()


@pytest.mark.skipif(
    torch.cuda.is_available(), reason="no interpreter: tests/kernels compares there"
)
@pytest.mark.parametrize("name", FORMATS)
def test_the_triton_twin_gives_a_network_the_same_logits(name, monkeypatch):
    """In bfloat16 sums of 16 signed features are exact in whatever order."""
    model = tiny_model().to(torch.bfloat16)
    with transform(model, ROTATED):
        surgery = Surgery(model)
        quantize_inputs(surgery, lambda layer: named(name))
        expected = logits(model)
        monkeypatch.setenv(SWITCH, "triton")
        with record_choices() as record:
            found = logits(model)
        surgery.restore()
    assert torch.equal(found, expected)
    by = {(item.operation, item.implementation): item.count for item in record.counts()}
    assert by["rotation with rounding", "triton"] == 2 * 3
    assert not {operation for operation, path in by if path == "torch"}


def test_layers_that_disagree_round_for_themselves_and_some_not_at_all():
    formats = {
        "q_proj": named("int4"),
        "k_proj": named("mxfp4"),
        "v_proj": None,
        "o_proj": named("int3"),
        "gate_proj": named("int8"),
        "up_proj": None,
        "down_proj": named("mxfp4"),
    }
    model, raw, seen = tiny_model(), {}, {}
    with transform(model, ROTATED):
        for linear in linears(model):

            def before(module, inputs, name=linear.name):
                raw[name] = inputs[0]

            def behind(module, inputs, output, name=linear.name):
                seen[name] = inputs[0]

            module = linear_module(model, linear)
            module.register_forward_pre_hook(before, prepend=True)
            module.register_forward_hook(behind)
        surgery = Surgery(model)
        quantize_inputs(surgery, lambda layer: formats[layer.rsplit(".")[-1]])
        logits(model)
        surgery.restore()
    online = {
        "o_proj": ROTATED.block(0).attention_output,
        "down_proj": ROTATED.block(0).mlp_hidden,
    }
    for linear in linears(model):
        x, fmt = raw[linear.name], formats[linear.projection]
        if linear.projection in online:
            x = online[linear.projection].apply(x)
        assert torch.equal(seen[linear.name], x if fmt is None else fake_quantize(x, fmt))


def test_a_rotation_of_all_features_is_followed_by_rounding():
    model = tiny_model()
    with transform(model, plan_for(model, "none", "none", "none", "full")):
        surgery = Surgery(model)
        quantize_inputs(surgery, lambda layer: named("int4"))
        with record_choices() as record:
            logits(model)
        surgery.restore()
    counts = {item.operation: item.count for item in record.counts()}
    assert counts == {"Hadamard": 3, "integer rounding": 4 * 3}


def test_a_group_that_does_not_divide_the_expanded_input_is_refused_before_anything_runs():
    model = tiny_model()
    with transform(model, plan_for(model, "none", "none", "none", "expanded block")):
        surgery = Surgery(model)
        with pytest.raises(InvalidRecipe, match="group 32 of mxfp4 does not divide 80"):
            quantize_inputs(surgery, lambda layer: named("mxfp4"))
        surgery.restore()


def test_what_was_rounded_is_float_again_after_restoring():
    model = tiny_model()
    with transform(model, ROTATED):
        before, surgery = logits(model), Surgery(model)
        quantize_inputs(surgery, lambda layer: named("int4"))
        assert not torch.equal(logits(model), before)
        surgery.restore()
        assert torch.equal(logits(model), before)
