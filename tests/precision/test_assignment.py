"""Every method under every way to count: the budget is met, from below, and constraints hold."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcore.errors import InvalidRecipe
from qcore.precision.budget import Assigner, assign, require_solvable
from qcore.precision.counting import average_bits
from qcore.recipe.precision import Pin, Precision, Probe
from tests.precision.factories import DEMO, made_layers, made_table

MX = ("mxfp4", "mxfp6_e2m3", "mxfp8_e4m3")
LAYERS = made_layers(**DEMO)
BUDGETED = ("uniform", "random", "kl", "knapsack", "dmx")


def assigner(part, layers=LAYERS, seed=0, **more):
    """With costs and offsets for all methods; formats as the part has them."""
    table = made_table(layers, part.narrow_to_wide, seed)
    worst = max(row[0] for row in table.kl)
    offsets = {
        layer.name: 2 * (row[0] / worst) ** 0.2 for layer, row in zip(layers, table.kl, strict=True)
    }
    return Assigner(layers, part, table=table, offsets=offsets, seed=seed, **more)


@st.composite
def parts(draw):
    formats = draw(st.sampled_from((MX, MX[:2], MX[::2], ("int2", "int4", "int8"))))
    layers = st.sampled_from(["3.self_attn.v_proj", "down_proj", "up_proj", "7", "29"])
    names = draw(st.lists(layers, max_size=3, unique=True))
    return Precision(
        method=draw(st.sampled_from(BUDGETED)),
        budget=None if draw(st.none()) else 6.0 if formats != MX[:2] else 5.0,
        formats=formats,
        objective=draw(st.sampled_from(("weights", "both", "bytes"))),
        weighting=draw(st.sampled_from(("size", "layers"))),
        fused=draw(st.booleans()),
        pins=tuple(Pin(name, draw(st.sampled_from(formats))) for name in names),
    )


@settings(max_examples=80)
@given(parts(), st.floats(0, 1), st.integers(0, 3))
def test_the_budget_is_met_from_below_and_constraints_hold(part, position, seed):
    prepared = assigner(part, seed=seed)
    low, high = prepared.reach
    budget = min(max(low + position * (high - low), low), high)
    found = prepared.at(budget)
    assert list(found.formats) == [layer.name for layer in LAYERS]
    assert set(found.formats.values()) <= set(part.formats)
    assert found.bits == average_bits(found.formats, LAYERS, part)
    assert budget - 0.05 <= found.bits <= budget
    for pin in part.pins:
        for layer in LAYERS:
            if pin.layer == layer.name:
                assert found.formats[layer.name] == pin.format
    for group in ("q_proj k_proj v_proj", "gate_proj up_proj"):
        for block in range(DEMO["blocks"]):
            given_formats = {
                found.formats[layer.name]
                for layer in LAYERS
                if layer.block == block and layer.projection in group.split()
            }
            assert len(given_formats) == 1 or not part.fused


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(0, 1), st.booleans())
def test_no_method_has_a_smaller_sum_than_the_knapsack(seed, position, fused):
    part = Precision(formats=MX, fused=fused)
    low, high = assigner(part).reach
    budget = low + position * (high - low)
    least = assigner(part, seed=seed).at(budget)
    assert least.optimal
    assert least.cost is not None
    for method in ("uniform", "random", "kl", "dmx"):
        other = assigner(replace(part, method=method), seed=seed).at(budget)
        assert not other.optimal
        assert other.cost is not None
        assert other.cost >= least.cost * (1 - 1e-12)


def test_the_best_of_all_assignments_of_a_small_network_is_found():
    layers = made_layers(blocks=1)
    part = Precision(formats=MX, budget=5.0)
    table = made_table(layers, MX, seed=3)
    sums = table.cost("kl")
    best = float("inf")
    for qkv, o, mlp, down in [(a, b, c, d) for a in MX for b in MX for c in MX for d in MX]:
        choice = dict(
            zip((x.name for x in layers), (qkv, qkv, qkv, o, mlp, mlp, down), strict=True)
        )
        if average_bits(choice, layers, part) <= 5.0:
            best = min(best, sum(sums[name][fmt] for name, fmt in choice.items()))
    assert assign(layers, part, table=table).cost == pytest.approx(best, rel=1e-12)


def test_with_two_formats_the_baseline_widens_the_layers_of_largest_divergence():
    part = Precision(
        method="kl", formats=MX[::2], fused=False, weighting="layers", budget=4 + 4 * 20 / 210
    )
    table = made_table(LAYERS, part.narrow_to_wide)
    found = assign(LAYERS, part, table=table)
    order = sorted(range(len(LAYERS)), key=lambda at: -table.kl[at][0])
    wide = {LAYERS[at].name for at in order[:20]}
    assert {name for name, fmt in found.formats.items() if fmt == "mxfp8_e4m3"} == wide


def test_with_three_formats_the_baseline_widens_whatever_costs_most_at_present():
    layers = made_layers(blocks=1)
    base = made_table(layers, MX)
    rows = [(1.0, 0.1, 0.0)] * 6 + [(9.0, 8.0, 0.0)]
    table = replace(base, kl=tuple(rows))
    part = Precision(method="kl", formats=MX, fused=False, weighting="layers", budget=4 + 6 / 7)
    found = assign(layers, part, table=table).formats
    assert found["0.mlp.down_proj"] == "mxfp8_e4m3"  # 9, then 8: twice before any other
    assert sum(fmt == "mxfp6_e2m3" for fmt in found.values()) == 1


def test_a_layer_of_negative_sensitivity_stays_narrow_and_bits_are_left_over():
    layers = made_layers(blocks=1)
    base = made_table(layers, MX)
    table = replace(base, loss=tuple((-0.5, 0.0, 0.0) for _ in layers))
    part = Precision(formats=MX, budget=6.0, probe=Probe(measure="loss"))
    found = assign(layers, part, table=table)
    assert set(found.formats.values()) == {"mxfp4"}
    assert (found.bits, found.cost, found.optimal) == (4.0, -3.5, True)
    assert found.note == "2.00 bits are left over: spending them would not lower the sum"


def test_uniform_takes_the_widest_that_fits_then_widens_in_stored_order():
    part = Precision(method="uniform", formats=MX, budget=6.0 + 2 * 10 / 210)
    part = replace(part, weighting="layers", fused=False)
    wide = [name for name, fmt in assign(LAYERS, part).formats.items() if fmt == MX[2]]
    assert wide == [layer.name for layer in LAYERS[:10]]
    assert set(assign(LAYERS, replace(part, budget=6.0)).formats.values()) == {MX[1]}


def test_random_depends_on_the_seed_and_on_nothing_else():
    part = Precision(method="random", formats=MX, budget=5.0)
    first, again, other = (assign(LAYERS, part, seed=seed).formats for seed in (1, 1, 2))
    assert first == again != other
    assert assigner(part, seed=1).at(5.0).formats == first


def test_random_favours_no_projection():
    part = Precision(method="random", formats=MX[::2], budget=6.0, weighting="layers", fused=False)
    counts = dict.fromkeys((layer.projection for layer in LAYERS), 0)
    for seed in range(20):
        found = assign(LAYERS, part, seed=seed).formats
        for layer in LAYERS:
            counts[layer.projection] += found[layer.name] != MX[0]
    # 600 draws each at one half: five standard deviations are 61.
    assert all(abs(count - 300) < 61 for count in counts.values())


def test_manual_is_what_the_pins_say():
    pins = (Pin("down_proj", MX[2]), Pin("3", MX[1]), Pin("3.mlp.down_proj", MX[0]))
    everything = tuple(Pin(str(block), MX[0]) for block in range(30) if block != 3)
    part = Precision(method="manual", budget=None, formats=MX, pins=pins + everything)
    found = assign(LAYERS, part).formats
    assert found["3.mlp.down_proj"] == MX[0]  # its own pin before the projection's
    assert found["4.mlp.down_proj"] == MX[2]  # the projection's before the block's
    assert found["3.self_attn.q_proj"] == MX[1]
    with pytest.raises(InvalidRecipe, match=r"90 of 120 choices have no pin, 0\.self_attn\.q_proj"):
        assign(LAYERS, replace(part, pins=(Pin("down_proj", MX[2]),)))


def test_a_more_precise_pin_speaks_for_its_whole_fused_unit():
    pins = (Pin("3", MX[0]), Pin("3.self_attn.v_proj", MX[2]))
    part = Precision(method="uniform", formats=MX, budget=5.0, pins=pins)
    assert assign(LAYERS, part).formats["3.self_attn.q_proj"] == MX[2]
    apart = replace(part, fused=False)
    assert assign(LAYERS, apart).formats["3.self_attn.q_proj"] == MX[0]


def test_pins_that_contradict_each_other_inside_a_fused_unit_are_refused():
    pins = (Pin("q_proj", MX[0]), Pin("v_proj", MX[2]))
    part = Precision(method="uniform", formats=MX, budget=5.0, pins=pins)
    with pytest.raises(InvalidRecipe, match="q_proj is pinned to mxfp4 and v_proj to mxfp8_e4m3"):
        assign(LAYERS, part)
    found = assign(LAYERS, replace(part, fused=False)).formats
    assert (found["0.self_attn.q_proj"], found["0.self_attn.v_proj"]) == (MX[0], MX[2])


@pytest.mark.parametrize("name", ["30", "3.mlp", "lm_head", "30.mlp.down_proj"])
def test_a_pin_that_matches_no_layer_is_refused(name):
    part = Precision(method="uniform", formats=MX, budget=5.0, pins=(Pin(name, MX[0]),))
    with pytest.raises(InvalidRecipe, match=f"'{name}' matches none of 210 layers"):
        assign(LAYERS, part)


@pytest.mark.parametrize("budget", [4.5, 7.9])
def test_a_budget_that_pins_leave_no_room_for_is_refused_with_the_range(budget):
    pins = (Pin("down_proj", MX[2]), Pin("o_proj", MX[0]))
    part = Precision(formats=MX, budget=budget, method="uniform", pins=pins)
    with pytest.raises(InvalidRecipe, match=r"with 60 pinned reach 5 to 7\.625 bits"):
        assign(LAYERS, part)


def test_a_budget_in_bytes_counts_scales_and_says_so_when_it_is_out_of_reach():
    part = Precision(formats=MX, objective="bytes", method="uniform", budget=4.25)
    assert assign(LAYERS, part).bits == 4.25
    with pytest.raises(InvalidRecipe, match=r"reach 4\.25 to 8\.25 bits"):
        assign(LAYERS, replace(part, budget=4.0))


def test_a_format_whose_block_does_not_divide_a_layers_width_is_refused():
    layers = made_layers(ffn=80)
    with pytest.raises(InvalidRecipe, match=r"0\.mlp\.down_proj: group 32 .* does not divide 80"):
        assign(layers, Precision(method="uniform", formats=MX, budget=5.0))
    integers = Precision(method="uniform", formats=("int4", "int8"), budget=5.0)
    with pytest.raises(InvalidRecipe, match=r"0\.self_attn\.q_proj: group 48 .* divide 64"):
        assign(layers, integers, group=48)
    assert assign(layers, integers, group=16).bits <= 5.0


@pytest.mark.parametrize("method", ["kl", "knapsack"])
def test_a_method_without_its_sensitivities_is_refused(method):
    part = Precision(method=method, formats=MX, budget=5.0)
    with pytest.raises(InvalidRecipe, match="needs the layers' sensitivities"):
        assign(LAYERS, part)
    with pytest.raises(InvalidRecipe, match="no sensitivities for mxfp6_e2m3, one of 1"):
        assign(LAYERS, part, table=made_table(LAYERS, MX[::2]))
    with pytest.raises(InvalidRecipe, match=r"sensitivities for 29\.self_attn\.q_proj, one of 7"):
        assign(LAYERS, part, table=made_table(LAYERS[:-7], MX))
    with pytest.raises(InvalidRecipe, match="holds no proxy"):
        assign(LAYERS, replace(part, probe=Probe(measure="proxy")), table=made_table(LAYERS, MX))


def test_learned_offsets_become_the_nearest_formats_when_they_meet_the_budget():
    wide = {"down_proj": 1.9, "o_proj": 0.6}
    offsets = {layer.name: wide.get(layer.projection, -0.4) for layer in LAYERS}
    part = Precision(method="dmx", formats=MX, budget=5.2)  # they spend 4 + 4 · 8/32 + 2 · 3/32
    found = assign(LAYERS, part, offsets=offsets)
    assert {found.formats[f"4.mlp.{name}_proj"] for name in ("gate", "up")} == {MX[0]}
    assert found.formats["4.self_attn.o_proj"] == MX[1]
    assert found.formats["4.mlp.down_proj"] == MX[2]
    assert found.note == ""
    two = assign(LAYERS, replace(part, formats=MX[::2], budget=5.0), offsets=offsets)
    assert two.formats["4.self_attn.o_proj"] == MX[0]  # 0.6 is below 1, the middle of two
    assert (two.bits, two.note) == (5.0, "")


@pytest.mark.parametrize("budget", [4.6, 6.0])
def test_learned_offsets_that_miss_the_budget_give_way_where_they_are_least_decided(budget):
    offsets = {layer.name: 0.9 + 0.01 * layer.block for layer in LAYERS}
    part = Precision(method="dmx", formats=MX[::2], budget=budget)
    found = assign(LAYERS, part, offsets=offsets)
    assert budget - 0.05 <= found.bits <= budget
    assert "the learned offsets gave 6.533 bits" in found.note
    wide = {layer.block for layer in LAYERS if found.formats[layer.name] == MX[2]}
    assert min(wide) > (13 if budget == 6.0 else 24)


def test_dmx_without_offsets_is_refused():
    part = Precision(method="dmx", formats=MX, budget=5.0)
    with pytest.raises(InvalidRecipe, match="dmx needs learned offsets"):
        assign(LAYERS, part)
    with pytest.raises(InvalidRecipe, match=r"0\.self_attn\.q_proj has no learned offset"):
        assign(LAYERS, part, offsets={})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 7.9, "pins": (Pin("down_proj", MX[0]),)}, "with 30 pinned reach 4 to 7 bits"),
        ({"pins": (Pin("lm_head", MX[0]),)}, "matches none"),
        ({"pins": (Pin("gate_proj", MX[0]), Pin("up_proj", MX[1]))}, "share one format"),
        ({"method": "manual", "budget": None}, "120 of 120 choices have no pin"),
    ],
)
@pytest.mark.parametrize("method", ["kl", "knapsack", "dmx"])
def test_what_no_assignment_can_meet_is_refused_before_anything_is_measured(
    method, changes, message
):
    part = Precision(method=method, formats=MX, budget=5.0)
    require_solvable(LAYERS, part)
    with pytest.raises(InvalidRecipe, match=message):
        require_solvable(LAYERS, replace(part, **changes))
