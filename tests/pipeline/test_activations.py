import pytest
import torch

from kernels.paths import served
from qcore.formats.coding import fake_quantize
from qcore.formats.format import named
from qcore.models.families import linear_module, linears, sites
from qcore.models.surgery import Surgery
from qcore.models.transformation import transform
from qcore.pipeline.activations import quantize_inputs
from tests.models.plans import plan_for
from tests.models.tiny_models import MAKERS, tiny_model, tiny_windows


@pytest.mark.parametrize("name", MAKERS)
def test_linears_that_share_an_input_share_its_quantization(name):
    model = tiny_model(name)
    surgery = Surgery(model)
    quantize_inputs(surgery, lambda layer: named("int4_asym"))
    with served() as record, torch.no_grad():
        model(tiny_windows())
    rounded = [each for each in record.services() if each.operation == "integer rounding"]
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
