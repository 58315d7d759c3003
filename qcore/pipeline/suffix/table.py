"""The stages of a network that predicts suffixes.

    load ── train ─┬─ reference ───────────────────────────┐
                   └─ capture ── sensitivity ── assign ── quantize ── evaluate

The network is small: every outcome is one record or one artifact, and nothing is kept by block.
`reference` answers for the float network and for the baselines, and settles what must be the same
for all networks that are compared: α of the beam and the longest suffix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from qcore.pipeline import revisions
from qcore.pipeline.row import Asked, Stage, activation_knobs, scale_knobs
from qcore.recipe import Recipe, SuffixPart
from qcore.serialization import to_plain

_LOG = ("split", "fold", "folds", "columns", "cases")


def _part(recipe: Recipe) -> SuffixPart:
    assert recipe.suffix is not None
    return recipe.suffix


def _always(recipe: Recipe) -> bool:
    return True


def _has_weights(recipe: Recipe) -> bool:
    return recipe.weights is not None


def _is_captured(recipe: Recipe) -> bool:
    return _has_weights(recipe) and recipe.calibration is not None


def _is_probed(recipe: Recipe) -> bool:
    return recipe.precision is not None and recipe.precision.needs_sensitivity


def _has_budget(recipe: Recipe) -> bool:
    return recipe.precision is not None


def _is_changed(recipe: Recipe) -> bool:
    return _has_weights(recipe) or recipe.activations is not None


def _load(of: Asked) -> Sequence[object]:
    """The log, and which of its cases do what; columns are read where there is a file."""
    part = _part(of.recipe)
    return [of.inputs.source.digest, part.split, part.fold, part.columns]


def _train(of: Asked) -> Sequence[object]:
    """The trained network."""
    part = _part(of.recipe)
    names = [item.name for item in fields(part) if item.name not in (*_LOG, "answer")]
    values = [getattr(part, name) for name in names]
    return [of.key("load"), values, of.recipe.seed, *revisions.of_suffix_training(of.recipe)]


def _reference(of: Asked) -> Sequence[object]:
    """The float network and the baselines on the test cases."""
    asked = of.recipe.evaluation
    return [
        of.key("train"),
        asked.windows,
        asked.length,
        _part(of.recipe).answer,
        *revisions.of_answers(of.recipe),
    ]


def _capture(of: Asked) -> Sequence[object]:
    """The float network's inputs on the training cases."""
    part = of.recipe.calibration
    assert part is not None
    return [of.key("train"), part.windows, part.length]


def _sensitivity(of: Asked) -> Sequence[object]:
    recipe, part = of.recipe, of.recipe.precision
    assert part is not None
    assert recipe.weights is not None
    shared = part.shared and recipe.activations is not None
    weights = [recipe.weights.group, recipe.weights.scale_rounding, scale_knobs(recipe)]
    inputs = activation_knobs(recipe) if shared else None
    probe = [part.probe.windows, part.probe.length]
    return [of.key("capture"), part.narrow_to_wide, weights, inputs, probe]


def _assign(of: Asked) -> Sequence[object]:
    recipe, part = of.recipe, of.recipe.precision
    assert part is not None
    looks = of.key("sensitivity") if part.needs_sensitivity else ""
    seed = recipe.seed if part.method == "random" else None
    formats = [to_plain(recipe.weights), activation_knobs(recipe)]
    return [of.key("train"), *formats, looks, to_plain(part), seed]


def _quantize(of: Asked) -> Sequence[object]:
    recipe = of.recipe
    sees = recipe.rounding.inputs != "float"
    return [
        of.key("train"),
        of.key("capture"),
        to_plain(recipe.weights),
        scale_knobs(recipe),
        to_plain(recipe.rounding),
        activation_knobs(recipe) if sees else None,
        of.key("assign"),
        *revisions.of_weights(recipe),
    ]


def _evaluate(of: Asked) -> Sequence[object]:
    recipe = of.recipe
    return [
        of.key("reference"),
        of.key("quantize"),
        activation_knobs(recipe),
        # A budget that shares its widths with the inputs decides them too.
        of.key("assign") if recipe.activations else "",
        recipe.evaluation.divergence,
        *revisions.of_inputs(recipe),
    ]


def _epochs(recipe: Recipe) -> int:
    return _part(recipe).epochs


def _cases(recipe: Recipe) -> int:
    return recipe.evaluation.windows


SUFFIX_STAGES = (
    Stage("load", 1, _always, _load),
    Stage("train", 1, _always, _train, units=_epochs),
    Stage(
        "reference",
        1,
        _always,
        _reference,
        units=_cases,
        comparable=lambda recipe: _part(recipe).answer,
    ),
    Stage("capture", 1, _is_captured, _capture, otherwise=""),
    Stage("sensitivity", 1, _is_probed, _sensitivity, otherwise=""),
    Stage("assign", 1, _has_budget, _assign, otherwise=""),
    Stage(
        "quantize",
        1,
        _has_weights,
        _quantize,
        otherwise="train",
        comparable=lambda recipe: [recipe.rounding.method, recipe.rounding.inputs],
    ),
    Stage(
        "evaluate",
        1,
        _is_changed,
        _evaluate,
        units=_cases,
        comparable=lambda recipe: _part(recipe).answer,
    ),
)
"""In the order in which they run."""
