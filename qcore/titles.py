"""A recipe in one short line: `W INT4 g64 · A INT8 asym · R1 R2 R4 b32 · MassDiff · GPTQ · MSE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcore.formats.format import Format

if TYPE_CHECKING:
    from qcore.recipe import Recipe, Rounding, Scales


def title_of(recipe: Recipe) -> str:
    """What a recipe does, without its model, texts and seed."""
    parts = [] if recipe.weights or recipe.activations else ["float"]
    if recipe.weights is not None:
        parts.append("W " + _format_title(recipe.weights.value))
    if recipe.activations is not None:
        parts.append("A " + _format_title(recipe.activations.value))
    parts += _transform_titles(recipe)
    if recipe.weights is not None:
        parts += [_rounding_title(recipe.rounding), _scales_title(recipe.scales)]
    return " · ".join(parts)


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
    name = {"rtn": "RTN", "gptq": "GPTQ", "gpfq": "GPFQ", "qronos": "Qronos"}[rounding.method]
    seen = {"float": "", "quantized": " on quantized inputs", "block": " within blocks"}
    order = " in stored order" if rounding.method != "rtn" and not rounding.act_order else ""
    damping = f" damped {rounding.damping:g}" if rounding.damping is not None else ""
    when = {"layer": "", "decoupled": " decoupled", "group": " group-interleaved"}
    return f"{name}{when[rounding.interleaving]}{seen[rounding.inputs]}{order}{damping}"


def _scales_title(scales: Scales) -> str:
    if scales.method != "piso":
        return {"absmax": "absmax", "mse": "MSE"}[scales.method]
    told = [
        scales.objective if scales.objective != "self" else "",
        scales.grouping if scales.grouping != "sequential" else "",
        "refined" if scales.refine else "",
        "signed" if scales.signed else "",
        scales.storage if scales.storage != "float32" else "",
    ]
    return " ".join(["PiSO", *filter(None, told)])
