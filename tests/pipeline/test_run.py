"""What a run finds out, and what it shares with other runs."""

import math

import pytest
import torch

from qcore.pipeline import methods, session
from qcore.pipeline.stages import capture, evaluate, reference
from qcore.recipe import Recipe
from qcore.rounding.gptq import gptq
from tests.pipeline.factories import BLOCKS, PARAMETERS, Workshop, numbers, stages, value

GPTQ = {"method": "gptq"}
INT3 = {"format": "int3"}


class Calls:
    """Counts the calls of a function that it wraps."""

    def __init__(self, patch: pytest.MonkeyPatch, module: object, name: str):
        self.count = 0
        self._real = getattr(module, name)
        patch.setattr(module, name, self)

    def __call__(self, *given: object, **named: object) -> object:
        self.count += 1
        return self._real(*given, **named)


def test_an_exact_repeat_returns_the_same_report_bit_for_bit(shop: Workshop) -> None:
    first = shop.run(shop.recipe())
    again = shop.run(shop.recipe())
    assert again.to_json() == first.to_json()
    assert again.created == first.created
    assert [event.message for event in shop.events] == ["this exact run was finished before"]


def test_a_repeat_after_losing_its_report_finds_the_same_numbers_without_the_network(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shop.run(shop.recipe())
    (shop.root / "reports" / f"{first.id}.json").unlink()
    shop.session = session.Session(shop.root)
    loads = Calls(monkeypatch, session, "load")
    again = shop.run(shop.recipe())
    assert numbers(again) == numbers(first)
    assert all(stages(again).values())
    assert loads.count == 0


def test_a_run_in_another_home_finds_the_same_numbers(
    shop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recipe = shop.recipe(rounding=GPTQ, weights=INT3)
    other = Workshop(tmp_path_factory.mktemp("other"), shop.model, shop.text)
    first, second = shop.run(recipe), other.run(recipe)
    assert numbers(first) == numbers(second)
    assert first.id == second.id


def test_recipes_that_differ_in_rounding_share_load_reference_and_capture(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = Calls(monkeypatch, capture, "capture")
    references = Calls(monkeypatch, reference, "take_reference")
    loads = Calls(monkeypatch, session, "load")
    shop.run(shop.recipe())
    assert (captures.count, references.count, loads.count) == (1, 3, 1)
    report = shop.run(shop.recipe(rounding=GPTQ))
    assert (captures.count, references.count, loads.count) == (1, 3, 1)
    assert stages(report) == {
        "load": False,
        "reference": True,
        "capture": True,
        "quantize": False,
        "evaluate": False,
    }


def test_more_evaluation_windows_compute_only_the_new_ones(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"file:{shop.text}"
    few = shop.run(shop.recipe())
    scored = Calls(monkeypatch, evaluate, "score_tokens")
    taken = Calls(monkeypatch, reference, "take_reference")
    many = shop.run(shop.recipe(evaluation={"text": text, "windows": 5, "length": 24}))
    assert (scored.count, taken.count) == (2, 2)
    assert many.window_losses[:3] == few.window_losses
    assert len(many.window_losses) == len(many.window_divergences) == 5


def test_the_float_recipe_is_the_reference_and_has_no_divergence(shop: Workshop) -> None:
    report = shop.run(shop.recipe(weights=None))
    assert report.window_losses == report.float_window_losses
    assert value(report, "kl") == 0.0
    assert value(report, "top1_agreement") == 1.0
    assert report.metric("loss_increase") is None
    assert list(stages(report)) == ["load", "reference"]


def test_perplexity_is_that_of_the_network_alone(shop: Workshop) -> None:
    report = shop.run(shop.recipe(weights=None))
    network = shop.session.network(shop.keys(report.recipe), lambda *_: None)
    tokens = network.tokenizer(shop.text.read_text(), add_special_tokens=False)["input_ids"]
    windows = torch.tensor(tokens[: 3 * 24]).view(3, 24)
    with torch.no_grad():
        logits = network.model(windows).logits[:, :-1].double()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    assert value(report, "perplexity") == pytest.approx(math.exp(loss), rel=1e-5)


def test_eight_bits_are_close_to_float_and_two_bits_are_far(shop: Workshop) -> None:
    divergence = {
        bits: value(shop.run(shop.recipe(weights={"format": f"int{bits}"})), "kl")
        for bits in (8, 4, 2)
    }
    assert divergence[8] < 0.01 < 0.5 < divergence[2]
    assert divergence[8] < divergence[4] < divergence[2]


def test_gptq_has_smaller_layer_output_errors_than_rounding_to_nearest(shop: Workshop) -> None:
    nearest = shop.run(shop.recipe(weights=INT3)).layers
    corrected = shop.run(shop.recipe(weights=INT3, rounding=GPTQ)).layers
    assert [row.name for row in nearest] == [row.name for row in corrected]
    pairs = [(a.output_error, b.output_error) for a, b in zip(nearest, corrected, strict=True)]
    assert all(b < a for a, b in pairs)
    assert sum(b for _, b in pairs) < 0.7 * sum(a for a, _ in pairs)
    assert all(b.weight_error > a.weight_error for a, b in zip(nearest, corrected, strict=True))


def test_output_errors_are_those_of_the_calibration_text(shop: Workshop) -> None:
    report = shop.run(shop.recipe(weights=INT3))
    (row,) = [row for row in report.layers if row.name == "0.self_attn.q_proj"]
    keys = shop.keys(report.recipe)
    model = shop.session.network(keys, lambda *_: None).model
    tokens = capture.Calibrator(keys, shop.cache, shop.session).windows()
    seen: list[torch.Tensor] = []
    layer = model.model.layers[0].self_attn.q_proj
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(0, 1)))
    with torch.no_grad():
        model(tokens)
    handle.remove()
    x = torch.cat(seen)
    weight = layer.weight.data
    kept = shop.cache.artifact(keys.block("quantize", 0))
    assert kept is not None
    rounded = kept.tensors[f"{row.name}.codes"].float() * kept.tensors[f"{row.name}.scale"]
    error = (x @ (weight - rounded).T).square().sum() / (x @ weight.T).square().sum()
    assert row.output_error == pytest.approx(float(error), rel=1e-4)


def test_quantized_inputs_differ_from_float_inputs_after_the_first_layer(shop: Workshop) -> None:
    floats = shop.recipe(weights=INT3, rounding=GPTQ)
    sequence = shop.recipe(weights=INT3, rounding={**GPTQ, "inputs": "quantized"})
    shop.run(floats)
    shop.run(sequence)

    def codes(recipe: Recipe, name: str) -> torch.Tensor:
        key = shop.keys(recipe).block("quantize", int(name[0]))
        kept = shop.cache.artifact(key)
        assert kept is not None
        return kept.tensors[f"{name}.codes"]

    first, last = "0.self_attn.q_proj", "2.mlp.down_proj"
    assert torch.equal(codes(floats, first), codes(sequence, first))
    assert not torch.equal(codes(floats, last), codes(sequence, last))


def test_float_inputs_from_the_block_matter_from_the_second_block_on(shop: Workshop) -> None:
    qronos = {"method": "qronos", "inputs": "quantized"}
    network = shop.recipe(weights=INT3, rounding=qronos)
    block = shop.recipe(weights=INT3, rounding={**qronos, "inputs": "block"})
    shop.run(network)
    shop.run(block)

    def codes(recipe: Recipe, name: str) -> torch.Tensor:
        kept = shop.cache.artifact(shop.keys(recipe).block("quantize", int(name[0])))
        assert kept is not None
        return kept.tensors[f"{name}.codes"]

    assert torch.equal(codes(network, "0.mlp.down_proj"), codes(block, "0.mlp.down_proj"))
    assert not torch.equal(codes(network, "1.self_attn.q_proj"), codes(block, "1.self_attn.q_proj"))


def test_sequential_calibration_resumes_from_a_finished_prefix_with_identical_codes(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = shop.recipe(
        weights=INT3, activations={"format": "int8"}, rounding={**GPTQ, "inputs": "quantized"}
    )
    whole = shop.run(recipe)
    keys = shop.keys(recipe)
    files = [shop.array(keys.block("quantize", block)) for block in range(BLOCKS)]
    before = [shop.cache.artifact(keys.block("quantize", b)).tensors for b in range(BLOCKS)]
    files[1].unlink()
    files[2].unlink()
    (shop.root / "reports" / f"{whole.id}.json").unlink()
    kept_since = files[0].stat().st_mtime_ns
    rounds = Calls(monkeypatch, methods, "gptq")
    assert numbers(shop.run(recipe)) == numbers(whole)
    assert rounds.count == 2 * 4, "four sites in each of the two lost blocks"
    assert files[0].stat().st_mtime_ns == kept_since
    for block, tensors in enumerate(before):
        after = shop.cache.artifact(keys.block("quantize", block))
        assert after is not None
        assert after.tensors.keys() == tensors.keys()
        assert all(torch.equal(after.tensors[name], tensors[name]) for name in tensors)


def test_activations_are_rounded_on_their_way_into_every_linear(shop: Workshop) -> None:
    plain = shop.recipe(weights={"format": "int8"})
    weights_only = value(shop.run(plain), "kl")
    fine = shop.recipe(weights={"format": "int8"}, activations={"format": "int8"})
    coarse = shop.recipe(weights={"format": "int8"}, activations={"format": "int3"})
    assert weights_only < value(shop.run(fine), "kl") < value(shop.run(coarse), "kl")
    assert shop.keys(coarse).quantize == shop.keys(plain).quantize, "weights are shared"
    only = shop.run(shop.recipe(weights=None, activations={"format": "int4"}))
    assert value(only, "kl") > 0
    assert only.volume.bits_per_weight == 16
    assert "quantize" not in stages(only)


def test_volume_is_what_the_formats_say_by_hand(shop: Workshop) -> None:
    volume = shop.run(shop.recipe(weights={"format": "int4", "group": 16})).volume
    quantized = BLOCKS * sum(PARAMETERS.values())
    # Embedding and head of 300 words, two norms to a block and one at the end, in 16 bits.
    others = 2 * 300 * 32 + BLOCKS * 2 * 32 + 32
    assert volume.quantized_parameters == quantized
    assert volume.total_parameters == quantized + others
    assert volume.element_bytes == quantized // 2
    assert volume.scale_bytes == quantized // 16 * 2, "a 16-bit scale to 16 weights"
    assert volume.float_bytes == others * 2
    assert volume.bits_per_weight == 5.0
    wide = shop.recipe(weights={"format": "int4", "group": 16}, scales={"storage": "float32"})
    assert shop.run(wide).volume.scale_bytes == quantized // 16 * 4, "and one of 32 bits"
    assert shop.run(wide).volume.bits_per_weight == 6.0


@pytest.mark.parametrize("method", ["absmax", "mse", "piso"])
@pytest.mark.parametrize("interleaving", ["layer", "group"])
def test_every_kept_scale_is_one_that_its_type_holds(
    shop: Workshop, method: str, interleaving: str
) -> None:
    recipe = shop.recipe(
        weights={"format": "int3", "group": 8},
        scales={"method": method},
        rounding={"method": "gptq", "interleaving": interleaving},
    )
    shop.run(recipe)
    artifact = shop.cache.artifact(shop.keys(recipe).block("quantize", 0))
    assert artifact is not None
    scales = [tensor for name, tensor in artifact.tensors.items() if name.endswith(".scale")]
    assert scales
    for scale in scales:
        assert torch.equal(scale.half().float(), scale)


def test_a_report_says_where_qronos_has_little_text_for_its_damping(shop: Workshop) -> None:
    def notes(**rounding: object) -> str:
        given = {"method": "qronos", "inputs": "quantized", **rounding}
        return " ".join(shop.run(shop.recipe(rounding=given)).notes)

    assert "Qronos's own damping of 1e-06 goes with much text" in notes()
    assert "goes with much text" not in notes(damping=0.01)
    assert "goes with much text" not in notes(inputs="float")


def test_a_hessian_that_needed_more_damping_is_told(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_more_damping(*given, damping, **named):
        return gptq(*given, damping=4 * damping, **named)

    monkeypatch.setattr(methods, "gptq", with_more_damping)
    report = shop.run(shop.recipe(rounding=GPTQ))
    (note,) = report.notes
    assert note.startswith("21 of 21 layers needed more damping than 0.01")
    assert "took 0.04" in note
    assert [event.message for event in shop.events if event.kind == "warning"] == [note]


def test_layers_are_reported_in_the_order_of_execution(shop: Workshop) -> None:
    report = shop.run(shop.recipe())
    assert [row.block for row in report.layers] == sorted(row.block for row in report.layers)
    assert [row.projection for row in report.layers[:7]] == list(PARAMETERS)
    assert [row.parameters for row in report.layers[:7]] == list(PARAMETERS.values())
    assert report.assignment == {row.name: "int4" for row in report.layers}


def test_a_recipe_without_calibration_has_no_output_errors(shop: Workshop) -> None:
    report = shop.run(shop.recipe(calibration=None))
    assert "capture" not in stages(report)
    assert {row.output_error for row in report.layers} == {None}


def test_what_was_not_asked_for_is_not_reported(shop: Workshop) -> None:
    text = f"file:{shop.text}"
    asked = {"text": text, "windows": 2, "length": 24, "divergence": False}
    for weights in (None, INT3):
        report = shop.run(shop.recipe(weights=weights, evaluation=asked))
        assert report.metric("kl") is None
        assert report.window_divergences == ()


def test_a_report_names_every_operation_that_served(shop: Workshop) -> None:
    report = shop.run(
        shop.recipe(
            weights={"format": "int4"},
            activations={"format": "int4_asym"},
            rotation={"block": 16, "signs": True},
            scales={"method": "piso"},
            rounding={"method": "gptq"},
        )
    )
    served = {(item.operation, item.path) for item in report.kernels}
    assert served == {
        ("Hadamard", "torch"),
        ("block Hadamard", "torch"),
        ("gptq block", "compiled"),
        ("integer rounding", "compiled"),
        ("outlier sketch", "compiled"),
        ("piso", "compiled"),
        ("rotation with rounding", "torch"),
        ("second moment", "torch"),
    }
