import pytest
import torch

from qcore.errors import DataError, NumericalError
from qcore.formats.coding import dequantize, fake_quantize
from qcore.formats.format import named
from qcore.models.families import linear_module, linears
from qcore.models.surgery import changed
from qcore.models.transformation import transform
from qcore.precision import replay
from qcore.precision.sensitivity import measure
from qcore.precision.table import BlockSensitivity, SensitivityTable
from qcore.rounding.rtn import rtn
from qcore.scales.absmax import absmax
from tests.models.factories import VARIANTS, tiny_model, tiny_windows
from tests.models.helpers_plans import everything

FORMATS = ("int3", "int4", "int8")


def rounded(model):
    """From a linear and a format to its weight, rounded to nearest."""

    def weight(linear, name):
        value, fmt = linear_module(model, linear).weight.data, named(name)
        return dequantize(rtn(value, absmax(value, fmt), fmt)).to(value.dtype)

    return weight


def mapped(name):
    return lambda x: fake_quantize(x.float(), named(name)).to(x.dtype)


def brute_force(model, windows, linear, name, inputs):
    """KL and increase in loss, from two plain forwards with all logits at once."""
    with torch.no_grad():
        plain = model(windows).logits[:, :-1].log_softmax(-1)
        with changed(model, {linear: rounded(model)(linear, name)}):
            module = linear_module(model, linear)
            handle = module.register_forward_pre_hook(
                lambda module, given: (inputs(name)(given[0]), *given[1:]) if inputs else given
            )
            other = model(windows).logits[:, :-1].log_softmax(-1)
            handle.remove()
        kl = (plain.exp() * (plain - other)).sum(-1).mean()
        lost = (plain - other).gather(-1, windows[:, 1:, None]).mean()
    return float(kl), float(lost)


def assert_as_brute_force(model, windows, inputs):
    table = SensitivityTable.of(
        list(measure(model, windows, FORMATS, weight=rounded(model), inputs=inputs))
    )
    assert [layer.name for layer in table.layers] == [linear.name for linear in linears(model)]
    assert table.tokens == windows.shape[0] * (windows.shape[1] - 1)
    for at, linear in enumerate(linears(model)):
        for column, name in enumerate(FORMATS):
            found = table.kl[at][column], table.loss[at][column]
            assert found == pytest.approx(
                brute_force(model, windows, linear, name, inputs), rel=1e-6, abs=1e-12
            )


@pytest.mark.parametrize("inputs", [None, mapped], ids=["weights", "weights and inputs"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_cost_is_that_of_two_whole_forwards(variant, inputs, monkeypatch):
    monkeypatch.setattr(replay, "TOKENS_AT_ONCE", 64)  # several chunks, the last one smaller
    family, more = VARIANTS[variant]
    model = tiny_model(family, torch.float64, **more)
    assert_as_brute_force(model, tiny_windows(2, 12), inputs)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_a_transformed_network_is_measured_behind_its_online_transforms(family):
    model = tiny_model(family, torch.float64)
    with transform(model, everything(model)):
        assert_as_brute_force(model, tiny_windows(1, 12), mapped)


def state_of(model):
    modules = dict(model.named_modules())
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules.values()]
    return modules, hooks, {name: p.data_ptr() for name, p in model.named_parameters()}


def test_the_network_is_left_as_it_was():
    model = tiny_model()
    before = state_of(model)
    expected = model(tiny_windows()).logits
    for _ in measure(model, tiny_windows(), FORMATS, weight=rounded(model), inputs=mapped):
        assert state_of(model) == before
    assert torch.equal(model(tiny_windows()).logits, expected)


@pytest.mark.parametrize("broken", ["weight", "inputs", "progress", "block"])
def test_the_network_comes_back_when_something_fails_on_the_way(broken):
    model = tiny_model()
    before = state_of(model)
    calls = 0

    def fail(*_):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("stopped")

    def weight(linear, name):
        fail() if broken == "weight" else None
        return rounded(model)(linear, name)

    def inputs(name):
        fail() if broken == "inputs" else None
        return mapped(name)

    handle = None
    if broken == "block":  # fails while linears are played back
        calls = -3
        handle = linear_module(model, linears(model)[13]).register_forward_pre_hook(fail)
    steps = fail if broken == "progress" else (lambda *_: None)
    with pytest.raises(RuntimeError, match="stopped"):
        list(measure(model, tiny_windows(), FORMATS, weight=weight, inputs=inputs, progress=steps))
    if handle is not None:
        handle.remove()
    assert state_of(model) == before


def test_blocks_that_are_there_already_are_passed_by():
    model = tiny_model("qwen3", torch.float64)
    whole = list(measure(model, tiny_windows(), FORMATS, weight=rounded(model)))
    asked = []

    def weight(linear, name):
        asked.append(linear.block)
        return rounded(model)(linear, name)

    rest = list(measure(model, tiny_windows(), FORMATS, weight=weight, skip={0, 2}))
    assert [part.block for part in rest] == [1]
    assert set(asked) == {1}
    assert rest[0].kl == whole[1].kl
    assert list(measure(model, tiny_windows(), FORMATS, weight=weight, skip={0, 1, 2})) == []


def test_progress_counts_up_to_its_total():
    model = tiny_model()
    told = []
    for _ in measure(
        model,
        tiny_windows(),
        FORMATS,
        weight=rounded(model),
        progress=lambda done, total, message: told.append((done, total)),
    ):
        pass
    assert told == [(done, 6) for done in range(1, 7)]


def test_a_format_that_changes_nothing_costs_nothing():
    model = tiny_model(dtype=torch.float64)
    weight = lambda linear, name: linear_module(model, linear).weight.data  # noqa: E731
    for part in measure(model, tiny_windows(), ("int8",), weight=weight):
        assert all(abs(cost) < 1e-12 for row in (*part.kl, *part.loss) for cost in row)


def test_the_proxy_is_asked_for_every_layer_and_format():
    model = tiny_model()
    asked = measure(
        model,
        tiny_windows(),
        FORMATS,
        weight=rounded(model),
        proxy=lambda linear, name: linear.block + FORMATS.index(name) / 10,
    )
    table = SensitivityTable.of(list(asked))
    assert table.proxy[7] == (1.0, 1.1, 1.2)
    assert table.cost("proxy")["2.mlp.down_proj"] == {"int3": 2.0, "int4": 2.1, "int8": 2.2}


def test_tables_survive_json():
    model = tiny_model()
    parts = list(measure(model, tiny_windows(), FORMATS, weight=rounded(model)))
    assert [BlockSensitivity.from_json(part.to_json()) for part in parts] == parts
    table = SensitivityTable.of(parts)
    assert SensitivityTable.from_json(table.to_json()) == table
    assert SensitivityTable.of(parts[::-1]) == table


def test_outputs_that_are_not_finite_are_refused_with_the_layers_name():
    model = tiny_model()
    weight = lambda linear, name: linear_module(model, linear).weight * float("inf")  # noqa: E731
    with pytest.raises(NumericalError, match=r"0\.self_attn\.q_proj alone in int3 gives a loss"):
        list(measure(model, tiny_windows(), FORMATS, weight=weight))


def test_windows_without_a_prediction_are_refused():
    with pytest.raises(DataError, match=r"windows of shape \(2, 1\) hold no prediction"):
        list(measure(tiny_model(), torch.zeros(2, 1).long(), FORMATS, weight=rounded(None)))
