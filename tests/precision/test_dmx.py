import math
from dataclasses import replace

import pytest
import torch

from kernels.continuous.values import Widths
from qcore.errors import InvalidRecipe, NumericalError
from qcore.formats.coding import dequantize, fake_quantize
from qcore.formats.format import named
from qcore.models.families import linear_module, linears
from qcore.models.plan import BlockPlan, Plan
from qcore.models.surgery import changed
from qcore.models.transformation import transform
from qcore.precision.budget import assign
from qcore.precision.counting import average_bits
from qcore.precision.dmx import State, Trained, train
from qcore.precision.fractional import LearnedWidths, rounding
from qcore.precision.layers import layer_sizes
from qcore.recipe.precision import Pin, Precision, Training
from qcore.rounding.rtn import rtn
from qcore.scales.absmax import absmax
from qcore.serialization import from_plain, to_plain
from qcore.transforms.algebra import Transform
from qcore.transforms.hadamard import full_rotation
from tests.models.factories import WORDS, tiny_llama

BENT = ("mxfp4", "mxfp6_e2m3", "mxfp8_e4m3")
TWO = ("mxfp4", "mxfp8_e4m3")
SHORT = Training(steps=12, batch=2, length=24, momentum=0.9)


def frozen(seed=0, **more):
    return tiny_llama(seed, **more).requires_grad_(False)


def own_text(model, count=8, length=24, seed=3):
    """Windows that the network itself wrote: it predicts them better than any changed network."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, WORDS, (count, 1), generator=generator)
    with torch.no_grad():
        while tokens.shape[1] < length:
            odds = model(tokens).logits[:, -1].softmax(-1)
            tokens = torch.cat((tokens, odds.multinomial(1, generator=generator)), 1)
    return tokens


def part(formats=BENT, training=SHORT, budget=5.0, **more):
    return Precision("dmx", budget, formats, training=training, **more)


def learn(model, given, **more):
    return train(model, own_text(model), layer_sizes(model), given, **more)


def to_nearest(weight, name):
    fmt = named(name)
    return dequantize(rtn(weight, absmax(weight, fmt), fmt))


@pytest.mark.parametrize("inputs", [None, "mxfp8_e4m3"])
@pytest.mark.parametrize("rotated", [False, True], ids=["plain", "rotated"])
def test_at_whole_widths_the_network_is_the_quantized_one_bit_for_bit(inputs, rotated):
    model = frozen()
    if rotated:
        online = Transform(96, None, full_rotation(96, seed=5))
        transform(model, Plan(None, tuple(BlockPlan(mlp_hidden=online) for _ in range(2))))
    names = [BENT[at % 3] for at in range(14)]
    text, widths = own_text(model), LearnedWidths()
    known = [Widths(named(name).exponent, named(name).mantissa) for name in BENT]
    widths.set(torch.tensor([[item.exponent, item.mantissa] for item in known]))
    weights, handles = {}, []
    for linear, name in zip(linears(model), names, strict=True):
        module = linear_module(model, linear)
        weights[linear] = to_nearest(module.weight, name)
    with changed(model, weights), torch.no_grad():
        for linear, name in zip(linears(model), names, strict=True):
            handles.append(
                linear_module(model, linear).register_forward_pre_hook(
                    lambda module, given, name=name: (
                        fake_quantize(given[0], named(name)) if inputs else None
                    )
                )
            )
        expected = model(text).logits
        for handle in handles:
            handle.remove()
    units = [BENT.index(name) for name in names]
    asked = {"inputs": inputs and named(inputs), "shared": True, "recompute": False}
    with rounding(model, widths, units, rule="floor", **asked), torch.no_grad():
        assert torch.equal(model(text).logits, expected)
    kept = [named(name) for name in names]
    with rounding(model, widths, kept, rule="floor", **asked), torch.no_grad():
        assert torch.equal(model(text).logits, expected)


def test_inputs_that_do_not_share_a_width_keep_their_own_format():
    model, widths = frozen(), LearnedWidths()
    widths.set(torch.tensor([[4.0, 3.0]]))
    text = own_text(model)
    seen = {}
    weights = {
        linear: to_nearest(linear_module(model, linear).weight, "mxfp8_e4m3")
        for linear in linears(model)
    }
    with torch.no_grad():
        with changed(model, weights, lambda site: lambda x: fake_quantize(x, named("int8"))):
            seen["expected"] = model(text).logits
        asked = {"inputs": named("int8"), "shared": False, "recompute": False}
        with rounding(model, widths, [0] * 14, rule="floor", **asked):
            assert torch.equal(model(text).logits, seen["expected"])


@pytest.mark.parametrize("inputs", [None, "mxfp8_e4m3"])
def test_training_leaves_the_network_as_it_was(inputs):
    model = frozen()
    text = own_text(model)
    before = model(text).logits
    learn(model, part(), inputs=inputs and named(inputs), recompute=True)
    assert torch.equal(model(text).logits, before)
    assert all("forward" not in vars(module) for module in model.modules())


def test_only_layers_that_reach_the_output_become_wide():
    model = frozen()
    with torch.no_grad():
        for linear in linears(model):
            if linear.projection == "o_proj" or linear.name == "0.mlp.down_proj":
                linear_module(model, linear).weight.zero_()
    training = Training(steps=40, batch=4, length=24)
    found = learn(model, part(TWO, training, budget=6.0, fused=False))
    wide = {name for name, fmt in found.formats.items() if fmt == "mxfp8_e4m3"}
    matter = {f"1.mlp.{name}" for name in ("gate_proj", "up_proj", "down_proj")}
    assert "1.mlp.down_proj" in wide
    assert wide <= matter
    assert all(found.offsets[name] == 0 for name in set(found.offsets) - matter)


@pytest.mark.parametrize(("formats", "budget"), [(TWO, 4.5), (BENT, 5.0)])
def test_offsets_come_near_the_budget_and_their_assignment_keeps_it(formats, budget):
    model = frozen()
    layers = layer_sizes(model)
    given = part(formats, Training(steps=40, batch=4, length=24), budget, fused=False)
    found = learn(model, given)
    assert found.bits == pytest.approx(average_bits(found.formats, layers, given))
    assert abs(found.bits - budget) < 0.5
    assert assign(layers, given, offsets=found.offsets).bits <= budget
    assert all(0 <= offset <= 2 for offset in found.offsets.values())


def test_gates_are_settled_when_the_annealing_ends_but_for_offsets_at_a_tread():
    """A gate is within 0.01 of open or shut from ln 99 / T on either side of its tread.

    The budget's penalty may hold an offset right there: how many, 40 short steps leave to the last
    bits of the arithmetic. That the others are settled, and that they are most, they do not.
    """
    found = learn(frozen(), part(training=Training(steps=40, batch=4, length=24), fused=False))
    assert found.trajectory.temperature[0] == 8.0
    assert found.trajectory.temperature[-1] == pytest.approx(400)
    offsets = torch.tensor(list(found.offsets.values()), dtype=torch.float64)
    treads = torch.tensor([0.5, 1.5], dtype=torch.float64)  # of three formats
    away = (offsets[:, None] - treads).abs().amin(1)
    assert found.settled == pytest.approx(float((away > math.log(99) / 400).double().mean()))
    assert found.settled > 0.5
    assert not (away > math.log(99) / 8).any(), "nothing is settled at the first temperature"


def test_equal_trainings_are_equal():
    model = frozen()
    assert learn(model, part()) == learn(model, part())


def test_computing_blocks_twice_changes_nothing():
    model = frozen()
    asked = {"inputs": named("mxfp8_e4m3")}
    assert learn(model, part(), recompute=True, **asked) == learn(
        model, part(), recompute=False, **asked
    )


class Killed(Exception):
    pass


@pytest.mark.timeout(900)
def test_a_killed_training_ends_where_an_uninterrupted_one_does():
    model = frozen()
    whole = learn(model, part())
    kept = []

    def save(state):
        kept.append(state.to_tensors())
        if state.done == 8:
            raise Killed

    with pytest.raises(Killed):
        learn(model, part(), save=save, every=4)
    assert [len(tensors["losses"]) for tensors in kept] == [4, 8]
    resumed = []
    found = learn(
        model, part(), state=State(**kept[-1]), save=lambda state: resumed.append(state.done)
    )
    assert found == whole
    assert resumed == [10, 12]
    assert learn(model, part(), state=State(**{**kept[-1]})) == whole


def test_pinned_layers_keep_their_format_and_learn_nothing():
    model = frozen()
    pins = (Pin("o_proj", "mxfp6_e2m3"), Pin("1.self_attn.q_proj", "mxfp8_e4m3"))
    found = learn(model, part(pins=pins))
    assert found.formats["0.self_attn.o_proj"] == "mxfp6_e2m3"
    together = ["q_proj", "k_proj", "v_proj"]
    assert {found.formats[f"1.self_attn.{name}"] for name in together} == {"mxfp8_e4m3"}
    assert not {"0.self_attn.o_proj", "1.self_attn.v_proj"} & set(found.offsets)
    assert len(found.formats) == 14
    assert len(found.offsets) == 14 - 2 - 3


def test_fused_layers_share_an_offset_and_others_do_not():
    model = frozen()
    fused = learn(model, part()).offsets
    assert fused["0.self_attn.q_proj"] == fused["0.self_attn.v_proj"]
    assert fused["0.mlp.gate_proj"] == fused["0.mlp.up_proj"]
    apart = learn(model, part(fused=False)).offsets
    assert len(set(apart.values())) == 14


@pytest.mark.parametrize("objective", ["weights", "both", "bytes"])
def test_the_first_mean_is_the_narrowest_formats_as_the_objective_counts(objective):
    model = frozen()
    given = part(TWO, budget=5.0, objective=objective)
    layers = layer_sizes(model)
    narrow = average_bits(dict.fromkeys((x.name for x in layers), "mxfp4"), layers, given)
    first = learn(model, given).trajectory.bits[0]
    gate = float(torch.sigmoid(torch.tensor(-4.0)))
    assert first == pytest.approx(narrow + 4 * gate, rel=1e-5)


def test_a_step_is_nesterovs():
    model = frozen()
    given = part(training=replace(SHORT, steps=1, rate=0.1), fused=False)

    def after(velocity):
        empty = torch.zeros(0)
        state = State(torch.ones(14), torch.full((14,), velocity), empty, empty, torch.zeros(0, 14))
        return learn(model, given, state=state).offsets

    still, moving = after(0.0), after(-0.1)  # both by −η(1 + μ)g, and the second by −ημ²v more
    assert all(0 < offset < 2 and offset != 1 for offset in still.values())
    for name, offset in still.items():
        assert moving[name] == pytest.approx(offset + 0.1 * 0.81 * 0.1, abs=1e-5)


def test_progress_tells_loss_bits_and_temperature():
    model = frozen()
    told = []
    learn(model, part(), progress=lambda *said: told.append(said))
    assert [done for done, _, _ in told] == list(range(1, 13))
    assert all(total == 12 for _, total, _ in told)
    assert told[0][2].endswith("4.04 bits, temperature 8")
    assert told[-1][2].endswith("temperature 400")


def test_a_long_trajectory_is_thinned_and_survives_json():
    model = frozen()
    found = learn(model, part(training=Training(steps=70, batch=1, length=12)))
    trajectory = found.trajectory
    assert len(trajectory.steps) == 60
    assert (trajectory.steps[0], trajectory.steps[-1]) == (0, 69)
    assert {len(path) for path in trajectory.offsets.values()} == {60}
    assert set(trajectory.offsets) == set(found.offsets)
    assert from_plain(Trained, to_plain(found), "trained") == found


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        (Precision("manual", None, TWO), "dmx needs a budget"),
        (part(("int4", "int8")), "int4 is none of them"),
        (
            part(pins=tuple(Pin(str(i), "mxfp4") for i in (0, 1)), budget=4.0),
            "all 8 choices are pinned",
        ),
        (part(pins=(Pin("mlp", "mxfp4"),)), "the pin 'mlp' matches none"),
        (part(TWO, pins=(Pin("0", "mxfp8_e4m3"),), budget=4.5), "budget of 4.5 bits cannot be met"),
    ],
)
def test_what_cannot_be_learned_is_refused(given, fact):
    model = frozen()
    with pytest.raises(InvalidRecipe, match=fact):
        learn(model, given)


def test_a_state_of_another_network_is_refused():
    model = frozen()
    with pytest.raises(InvalidRecipe, match="0 steps for 3 choices do not continue to 12 steps"):
        learn(model, part(), state=State.start(3))


def test_a_loss_that_is_not_finite_is_an_error():
    model = frozen()
    text = own_text(model)
    linear_module(model, linears(model)[0]).weight.data[0, 0] = torch.nan
    with pytest.raises(NumericalError, match="step 0 of dmx has a loss of nan"):
        train(model, text, layer_sizes(model), part())
    assert all("forward" not in vars(module) for module in model.modules())
