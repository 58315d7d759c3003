"""Which servers could run what a recipe makes, known before it runs: the one table of their rules.

A rule says what stands in the way of one server, and where that is written. None was taken from
memory: each names its source and the day it was read there. A recipe that no rule stops is
*unverified*: it should load, and the gate says whether it does once it is written.

Two layouts are written: compressed-tensors folders for transformers and vLLM, GGUF for llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qcore.errors import ExportError
from qcore.export.gguf.choice import BITS, container_of
from qcore.export.layouts import layout_of
from qcore.export.verdict import Verdict
from qcore.formats.format import Format
from qcore.recipe import Recipe
from qcore.recipe.formats import weight_format

TRANSFORMERS, VLLM, LLAMA_CPP = "transformers", "vLLM", "llama.cpp"
TARGETS = (TRANSFORMERS, VLLM, LLAMA_CPP)


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that stands in the way of servers.

    Attributes:
        targets: whose way.
        obstacle: what a recipe has of it, as a clause; empty for nothing.
        source: where it is written or was measured.
        read: when, as year, month and day.
    """

    targets: tuple[str, ...]
    obstacle: Callable[[Recipe], str]
    source: str
    read: str


def weight_formats(recipe: Recipe) -> list[Format]:
    """The formats that a recipe's weights may end up in, each once."""
    if recipe.weights is None:
        return []
    if recipe.precision is not None:
        return [weight_format(recipe, name) for name in recipe.precision.formats]
    return [weight_format(recipe, recipe.weights.format)]


def servability(recipe: Recipe) -> list[Verdict]:
    """What may be said of each server before the run: `unverified` or `refused`, and why."""
    return [_of(target, recipe) for target in TARGETS]


def servers(recipe: Recipe) -> list[str]:
    """The servers that no rule keeps from running what a recipe makes."""
    return [target for target in TARGETS if not obstacles(recipe, target)]


def obstacles(recipe: Recipe, target: str) -> list[str]:
    """Every reason why one server could not run what a recipe makes; empty where it could."""
    found = (rule.obstacle(recipe) for rule in RULES if target in rule.targets)
    return [each for each in found if each]


def _of(target: str, recipe: Recipe) -> Verdict:
    stops = obstacles(recipe, target)
    if stops:
        return Verdict(target, "refused", "; ".join(stops))
    if target == LLAMA_CPP:
        return Verdict(target, "unverified", f"as GGUF, {_containers(recipe)}")
    layouts = ", ".join(dict.fromkeys(layout_of(fmt) for fmt in weight_formats(recipe)))
    note = ""
    if target == TRANSFORMERS and _needs_dequantizing(recipe):
        note = ", with CompressedTensorsConfig(dequantize=True) only"
    return Verdict(target, "unverified", f"as compressed-tensors, {layouts}{note}")


def _containers(recipe: Recipe) -> str:
    held = {
        f"{name} at {BITS[name]:g} bits per weight": None
        for name in map(container_of, weight_formats(recipe))
    }
    return ", ".join(held)


def _needs_dequantizing(recipe: Recipe) -> bool:
    return any(
        not fmt.symmetric or (fmt.kind == "mx" and recipe.model.dtype == "float32")
        for fmt in weight_formats(recipe)
    )


def _no_language_model(recipe: Recipe) -> str:
    return "a suffix network is no language model" if recipe.model.source == "suffix" else ""


def _float_weights(recipe: Recipe) -> str:
    return "its weights stay float: there is nothing to export" if recipe.weights is None else ""


def _no_layout(recipe: Recipe) -> str:
    return "; ".join(_refusals(recipe, layout_of))


def _no_container(recipe: Recipe) -> str:
    return "; ".join(_refusals(recipe, container_of))


def _refusals(recipe: Recipe, ask: Callable[[Format], object]) -> Iterator[str]:
    for fmt in weight_formats(recipe):
        try:
            ask(fmt)
        except ExportError as error:
            yield error.fact


def _scales_of_another_type(recipe: Recipe) -> str:
    held = {"float32": ("float16", "bfloat16", "float32"), "bfloat16": ("bfloat16",)}
    fits = recipe.scales.storage in held[recipe.model.dtype]
    if not recipe.has_float_scales or fits:
        return ""
    return (
        f"scales are stored as {recipe.scales.storage}, and servers keep them in the network's "
        f"{recipe.model.dtype}: set scales.storage to {recipe.model.dtype}"
    )


def _scales_beyond_half(recipe: Recipe) -> str:
    if not recipe.has_float_scales or recipe.scales.storage == "float16":
        return ""
    return f"GGUF holds scales as float16, not {recipe.scales.storage}: set scales.storage"


def _online(recipe: Recipe) -> str:
    if recipe.rotation is None or not recipe.rotation.online:
        return ""
    where = [
        name
        for name, on in (
            ("down_proj's input (R4)", recipe.rotation.r4),
            ("o_proj's input", recipe.rotation.o_proj),
        )
        if on
    ]
    return f"{' and '.join(where)} is rotated at run time, which it would skip without a word"


def _expansion(recipe: Recipe) -> str:
    if recipe.expansion is None or recipe.expansion.percent == 0:
        return ""
    return "expansion widens inputs in front of a rotation at run time"


def _rounded_inputs(recipe: Recipe) -> str:
    if recipe.activations is None:
        return ""
    return (
        f"inputs are rounded to {recipe.activations.format} by a scale of max|x| over the largest "
        "code, and servers divide by half a code more"
    )


def _rounded_inputs_in_gguf(recipe: Recipe) -> str:
    if recipe.activations is None:
        return ""
    return "a GGUF file cannot say how inputs are rounded: llama.cpp rounds them its own way"


def _unfused_formats(recipe: Recipe) -> str:
    """VLLM fuses q, k and v, and gate and up: one scheme for each of the two."""
    part = recipe.precision
    if part is None or part.fused:
        return ""
    return (
        "a bit budget may give q, k and v (or gate and up) different formats, and it fuses them "
        "into one: set the budget's fused"
    )


def _sixbit_floats(recipe: Recipe) -> str:
    names = [fmt.name for fmt in weight_formats(recipe) if fmt.name.startswith("mxfp6")]
    return f"it has no kernel for {names[0]}" if names else ""


RULES = (
    Rule(TARGETS, _no_language_model, "what the families of this program are", "2026-11-24"),
    Rule(TARGETS, _float_weights, "what this program writes: codes", "2026-11-24"),
    Rule(
        (TRANSFORMERS, VLLM),
        _no_layout,
        "compressed-tensors 0.20.0, compressors: INT2 to INT8, MXFP4, MXFP6 E2M3, MXFP8 E4M3",
        "2026-11-24",
    ),
    Rule(
        (TRANSFORMERS, VLLM),
        _scales_of_another_type,
        "measured: float16 scales in a bfloat16 network move weights by 2.2e-3",
        "2026-11-24",
    ),
    Rule(
        TARGETS,
        _online,
        "measured: transformers 5.23.0 ignores transform_config; llama.cpp has no such input",
        "2026-11-24",
    ),
    Rule(TARGETS, _expansion, "compressed-tensors 0.20.0, transform: widths stay", "2026-11-24"),
    Rule(
        (TRANSFORMERS, VLLM),
        _rounded_inputs,
        "measured: compressed-tensors 0.20.0 divides max|x| by 7.5 for INT4",
        "2026-11-24",
    ),
    Rule((LLAMA_CPP,), _rounded_inputs_in_gguf, "GGUF's keys, gguf 0.19.0", "2026-11-24"),
    Rule(
        (VLLM,),
        _unfused_formats,
        "vLLM 0.32, compressed_tensors: one scheme for a fused layer",
        "2026-11-24",
    ),
    Rule((VLLM,), _sixbit_floats, "vLLM 0.32: no scheme for mxfp6-pack-quantized", "2026-11-24"),
    Rule((LLAMA_CPP,), _no_container, "ggml-common.h; gguf 0.19.0", "2026-11-24"),
    Rule((LLAMA_CPP,), _scales_beyond_half, "ggml-common.h: ggml_half d", "2026-11-24"),
)
"""All of them, in the order in which they are said."""
