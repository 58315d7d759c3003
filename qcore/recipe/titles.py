"""A recipe in one line: `W INT4 g64 · A INT8 asym · R1 R2 R4 b32 · MassDiff · GPTQ · MSE`.

And in a few words, where many stand beside each other: `INT4 g64 A INT8 R b32 MassDiff GPTQ`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass, replace
from typing import TYPE_CHECKING, Any

from qcore.formats.format import FORMATS, Format
from qcore.recipe import Pin, Recipe
from qcore.serialization import to_plain

if TYPE_CHECKING:
    from qcore.recipe import Rounding


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
        if recipe.scales.method != _usual_scales(recipe):
            parts.append(_SCALES[recipe.scales.method])
    # Within a part nothing may be torn apart where a label is broken into lines.
    return " ".join(part.replace(" ", _FIRM) for part in parts)


def _usual_scales(recipe: Recipe) -> str:
    """The scale method that goes without saying: by the formats alone, so that labels compare."""
    return "piso" if recipe.has_float_scales and recipe.precision is None else "absmax"


_ROUNDINGS = {"rtn": "RTN", "gptq": "GPTQ", "gpfq": "GPFQ", "qronos": "Qronos"}
_SCALES = {"absmax": "absmax", "mse": "MSE", "piso": "PiSO"}


def _weights_title(recipe: Recipe) -> str:
    """A format, or `MXFP4/6/8 5 bits knapsack`: the choices, the budget, and who spends it."""
    assert recipe.weights is not None
    part = recipe.precision
    if part is None:
        return _format_title(recipe.weights.value)
    names = {"kl": "KL", "dmx": "dMX"}
    budget = "" if part.budget is None else f" {part.budget:g} bits"
    return f"{formats_label(part.formats)}{budget} {names.get(part.method, part.method)}"


def _inputs_title(recipe: Recipe) -> str:
    """A format, or `as W` where inputs share the width of the weights."""
    assert recipe.activations is not None
    shares = recipe.precision is not None and recipe.precision.shared
    return "as W" if shares else _format_title(recipe.activations.value)


def _format_title(fmt: Format) -> str:
    name = format_label(fmt.name)
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


def technique_label(name: str, recipe: Recipe) -> str:
    """A technique as a recipe has it: `R1 R2 R4 b32`, `MassDiff`, `PiSO`, `quantized inputs`.

    Args:
        name: one of `qcore.recipe.techniques.TECHNIQUES` that the recipe has.
        recipe: that has it.
    """
    if name in ("transform", "permutation", "expansion"):
        alone = {"transform": "rotation", "permutation": "permutation", "expansion": "expansion"}
        parts = replace(recipe, permutation=None, expansion=None)
        others = {} if name == "transform" else {alone[name]: getattr(recipe, alone[name])}
        return _transform_titles(replace(parts, **others))[-1]
    if name == "scale":
        rounded = [part for part in (recipe.weights, recipe.activations) if part is not None]
        midmax = any(part.scale_rounding == "midmax" for part in rounded)
        how = [_scales_title(recipe)] if recipe.scales.method != "absmax" else []
        return " ".join([*how, *(["midmax"] if midmax else [])])
    if name == "rounding":
        return _rounding_title(replace(recipe.rounding, inputs="float"))
    if name == "inputs":
        seen = {"quantized": "quantized inputs", "block": "quantized inputs within blocks"}
        return seen[recipe.rounding.inputs]
    return _weights_title(recipe)


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


def log_label(recipe: Recipe) -> str:
    """The event log of a suffix recipe as people call it."""
    name = recipe.model.name.rstrip("/").rsplit("/", 1)[-1]
    return name.split(".", 1)[0] or "simulated process"


def split_label(recipe: Recipe) -> str:
    """Which cases of a suffix recipe test: `fold 0`, or `latest cases`."""
    assert recipe.suffix is not None
    return "latest cases" if recipe.suffix.split == "time" else f"fold {recipe.suffix.fold}"


def evaluation_label(recipe: Recipe) -> str:
    """What was scored: `LAMBADA evaluation · 8 × 512 tokens`."""
    asked = recipe.evaluation
    if recipe.suffix is not None:
        return f"{log_label(recipe)} · {split_label(recipe)} · {asked.windows:,} test cases at most"
    return f"{text_label(asked.text)} · {asked.windows} × {asked.length} tokens"


def weights_label(recipe: Recipe) -> str:
    """The weights' format, or all that a bit budget chose from: `int4`, `float`, `MXFP4/6/8`."""
    if recipe.weights is not None and recipe.precision is not None:
        return formats_label(recipe.precision.formats)
    return recipe.weights.value.name if recipe.weights else "float"


def inputs_label(recipe: Recipe) -> str:
    """The inputs' format, or all that they may share the width of: `int8_asym`, `MXFP4/6/8`."""
    if recipe.activations is not None and recipe.precision is not None and recipe.precision.shared:
        return formats_label(recipe.precision.formats)
    return recipe.activations.value.name if recipe.activations else "float"


def format_label(name: str) -> str:
    """A format as people say it: `MXFP4`, `MXFP6 E2M3`, `INT4`, `INT4 asym`."""
    return name.upper().replace("_ASYM", " asym").replace("_", " ")


def formats_label(names: Sequence[str]) -> str:
    """A set of formats as people say it: `MXFP4/6/8`, `MXFP4/6 E3M2`, `INT4/8`.

    Of the two elements of a width the one with more mantissa is meant where none is named.
    """
    families: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (FORMATS[name].bits, name)):
        family, _, variant = format_label(name).partition(" ")
        stem = family.rstrip("0123456789")
        told = f" {variant}" if variant not in _USUAL else ""
        families.setdefault(stem, []).append(family.removeprefix(stem) + told)
    return " + ".join(stem + "/".join(widths) for stem, widths in families.items())


_USUAL = ("", "E2M3", "E4M3")


def labels(recipes: Sequence[Recipe], models: Sequence[str] = ()) -> list[str]:
    """What tells these runs apart, in a few words each.

    Each begins with its short title; before it stands the model, where there are several; after it
    whatever else of the recipe differs among them and is not told by what stands there already:
    `INT4 GPTQ · rounding damping 0.05 · seed 1`. Equal labels are of equal recipes.

    Args:
        recipes: of the runs that are shown together.
        models: what to call their networks, where the recipes' own names do not tell.
    """
    names = [short_title_of(recipe).replace(_FIRM, " ") for recipe in recipes]
    networks = list(models) or [_model_label(recipe) for recipe in recipes]
    if len(set(networks)) > 1:
        names = [f"{network} · {name}" for network, name in zip(networks, names, strict=True)]
    for path in _differing(recipes):
        values = [_at(recipe, path) for recipe in recipes]
        if not _told(names, values):
            what = " ".join(path).replace("_", " ")
            names = [
                name if value is _ABSENT else f"{name} · {what} {_said(path, value)}"
                for name, value in zip(names, values, strict=True)
            ]
    return names


_FIRM = "\u00a0"
_Path = tuple[str, ...]


def _model_label(recipe: Recipe) -> str:
    model = recipe.model
    if recipe.suffix is not None:
        return log_label(recipe)
    return model.name.rstrip("/").rsplit("/", 1)[-1] or model.source


def _differing(recipes: Sequence[Recipe]) -> list[_Path]:
    """The paths of all values in which recipes differ, outside their models, in their order."""
    found: dict[_Path, set[str]] = {}
    for recipe in recipes:
        for path in _paths(to_plain(recipe)):
            found.setdefault(path, set())
    for path, values in found.items():
        values.update(repr(_at(recipe, path)) for recipe in recipes)
    parts = {path[0]: place for place, path in reversed([*enumerate(found)])}
    inwards = sorted(found, key=lambda path: (parts[path[0]], len(path)))
    return [path for path in inwards if len(found[path]) > 1]


def _paths(plain: dict[str, Any], above: _Path = ()) -> Iterator[_Path]:
    for name, value in plain.items():
        path = (*above, name)
        if isinstance(value, dict):
            yield from _paths(value, path)
        elif path[0] != "model":
            yield path


def _at(recipe: Recipe, path: _Path) -> Any:
    value: Any = recipe
    for name in path:
        value = getattr(value, name, _ABSENT) if value is not None else _ABSENT
    return value


class _Absent:
    def __repr__(self) -> str:
        return "–"


_ABSENT = _Absent()


def _told(names: Sequence[str], values: Sequence[Any]) -> bool:
    """Whether runs of different values have different names already."""
    said: dict[str, str] = {}
    return all(
        said.setdefault(name, repr(value)) == repr(value)
        for name, value in zip(names, values, strict=True)
    )


def _said(path: _Path, value: Any) -> str:
    if path[-1] == "text":
        return text_label(value)
    if isinstance(value, bool) or value is None:
        return {True: "on", False: "off", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(_said(path, item) for item in value) or "none"
    if isinstance(value, Pin):
        return f"{value.layer}={value.format}"
    return "given" if is_dataclass(value) else str(value)
