"""A recipe in one line: `W INT4 g64 · A INT8 asym · R1 R2 R4 b32 · MassDiff · GPTQ · MSE`.

And in a few words, where many stand beside each other: `INT4 g64 A INT8 R b32 MassDiff GPTQ`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcore.formats.format import FORMATS, Format
from qcore.recipe import Activations, Recipe, Weights
from qcore.recipe.recipe import default_scales

if TYPE_CHECKING:
    from qcore.recipe import Recipe, Rounding


def title_of(recipe: Recipe) -> str:
    """What a recipe does, without its model, texts and seed."""
    parts = [] if recipe.weights or recipe.activations else ["float"]
    if recipe.weights is not None:
        parts.append("W " + _weights_title(recipe))
    if recipe.activations is not None:
        parts.append("A " + _inputs_title(recipe))
    parts += _transform_titles(recipe)
    if recipe.weights is not None:
        parts += [_rounding_title(recipe.rounding), _scales_title(recipe)]
    return " · ".join(parts)


def short_title_of(recipe: Recipe) -> str:
    """What tells a run from its neighbours: formats, transforms, rounding, and PiSO.

    `R` is a rotation, `R b32` one whose online part goes by blocks, `R fused` one without such a
    part. Scales are named when they are not the usual ones.
    """
    parts = [] if recipe.weights or recipe.activations else ["float"]
    if recipe.weights is not None:
        parts.append(_weights_title(recipe))
    if recipe.activations is not None:
        parts.append("A " + _inputs_title(recipe).replace(" asym", ""))
    rotation = recipe.rotation
    if rotation is not None:
        how = f" b{rotation.block}" if rotation.block else "" if rotation.online else " fused"
        parts.append(f"R{how}")
        parts += _transform_titles(recipe)[1:]
    if recipe.weights is not None:
        parts.append(_ROUNDINGS[recipe.rounding.method])
        if recipe.scales.method != default_scales(recipe).method:
            parts.append(_SCALES[recipe.scales.method])
    # Within a part nothing may be torn apart where a label is broken into lines.
    return " ".join(part.replace(" ", "\u00a0") for part in parts)


_ROUNDINGS = {"rtn": "RTN", "gptq": "GPTQ", "gpfq": "GPFQ", "qronos": "Qronos"}
_SCALES = {"absmax": "absmax", "mse": "MSE", "piso": "PiSO"}


def _weights_title(recipe: Recipe) -> str:
    """A format, or `MXFP4/6/8 5 bits knapsack`: the choices, the budget, and who spends it."""
    assert recipe.weights is not None
    part = recipe.precision
    if part is None:
        return _format_title(recipe.weights.value)
    first, *others = (FORMATS[name] for name in part.narrow_to_wide)
    choices = "/".join([first.name.upper().split("_")[0], *(str(item.bits) for item in others)])
    names = {"kl": "KL", "dmx": "dMX"}
    budget = "" if part.budget is None else f" {part.budget:g} bits"
    return f"{choices}{budget} {names.get(part.method, part.method)}"


def _inputs_title(recipe: Recipe) -> str:
    """A format, or `as W` where inputs share the width of the weights."""
    assert recipe.activations is not None
    shares = recipe.precision is not None and recipe.precision.shared
    return "as W" if shares else _format_title(recipe.activations.value)


def _format_title(fmt: Format) -> str:
    name = fmt.name.upper().replace("_ASYM", " asym").replace("_", " ")
    group = f" g{fmt.group}" if fmt.kind == "int" and fmt.group else ""
    midmax = " midmax" if fmt.scale_rounding == "midmax" else ""
    return f"{name}{group}{midmax}"


def _transform_titles(recipe: Recipe) -> list[str]:
    rotation, parts = recipe.rotation, []
    if rotation is None:
        return parts
    fused = [name for name, on in (("R1", rotation.r1), ("R2", rotation.r2)) if on]
    online = [name for name, on in (("R4", rotation.r4), ("o_proj", rotation.o_proj)) if on]
    size = f" b{rotation.block}" if rotation.block else ""
    parts.append(" ".join([*fused, *(name + size for name in online)]))
    if recipe.permutation is not None and recipe.permutation.method != "identity":
        parts.append(
            {"massdiff": "MassDiff"}.get(recipe.permutation.method) or recipe.permutation.method
        )
    if recipe.expansion is not None and recipe.expansion.percent > 0:
        parts.append(f"+{recipe.expansion.percent:g} %")
    return parts


def _rounding_title(rounding: Rounding) -> str:
    name = _ROUNDINGS[rounding.method]
    seen = {"float": "", "quantized": " on quantized inputs", "block": " within blocks"}
    order = " in stored order" if rounding.method != "rtn" and not rounding.act_order else ""
    damping = f" damped {rounding.damping:g}" if rounding.damping is not None else ""
    when = {"layer": "", "decoupled": " decoupled", "group": " group-interleaved"}
    return f"{name}{when[rounding.interleaving]}{seen[rounding.inputs]}{order}{damping}"


def _scales_title(recipe: Recipe) -> str:
    scales = recipe.scales
    stored = scales.storage if scales.storage != "float16" and recipe.has_float_scales else ""
    if scales.method != "piso":
        return " ".join(filter(None, [_SCALES[scales.method], stored]))
    told = [
        scales.objective if scales.objective != "self" else "",
        scales.grouping if scales.grouping != "sequential" else "",
        "refined" if scales.refine else "",
        "signed" if scales.signed else "",
        stored,
    ]
    return " ".join([_SCALES["piso"], *filter(None, told)])


BUDGET_METHODS = {
    "uniform": "uniform",
    "random": "random",
    "kl": "KL greedy",
    "knapsack": "knapsack",
    "dmx": "dMX",
    "manual": "manual",
}
"""The ways to spend a bit budget, as people call them."""


def method(recipe: Recipe) -> str:
    """What the run is coloured by: who spent its bit budget, or how its weights were rounded."""
    if recipe.weights is None:
        return "float" if recipe.activations is None else "activations only"
    if recipe.precision is not None:
        return BUDGET_METHODS[recipe.precision.method]
    shown = {"rtn": "RTN", "gptq": "GPTQ", "gpfq": "GPFQ", "qronos": "Qronos"}
    return shown.get(recipe.rounding.method, recipe.rounding.method)


def text_label(text: str) -> str:
    """An evaluation or calibration text as people call it."""
    names = {"lambada": "LAMBADA", "wikitext2": "WikiText-2"}
    source, _, part = text.partition("/")
    if text.startswith("file:"):
        return text.removeprefix("file:").rsplit("/", 1)[-1]
    return f"{names.get(source, source)} {part}".strip()


def evaluation_label(recipe: Recipe) -> str:
    """What was scored: `LAMBADA evaluation · 8 × 512 tokens`."""
    asked = recipe.evaluation
    return f"{text_label(asked.text)} · {asked.windows} × {asked.length} tokens"


def _format_of(recipe: Recipe, part: Weights | Activations | None) -> str:
    """A part's format, or all that a bit budget chose from: `int4`, `float`, `MXFP4/6/8`."""
    budget = recipe.precision
    if part is None:
        return "float"
    if budget is not None and (part is recipe.weights or budget.shared):
        return formats_label(budget.formats)
    return part.value.name


def formats_label(names: Sequence[str]) -> str:
    """A set of formats as people say it: `MXFP4/6/8`, `MXFP4/6 E3M2`, `INT4/8`."""
    families: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: FORMATS[name].bits):
        family, _, element = name.partition("_")
        stem = family.rstrip("0123456789")
        variant = f" {element.upper()}" if element in ("e3m2", "e5m2") else ""
        families.setdefault(stem.upper(), []).append(family.removeprefix(stem) + variant)
    return " + ".join(stem + "/".join(widths) for stem, widths in families.items())
