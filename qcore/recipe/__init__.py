"""What a run is asked to do: the Recipe, its parts, and what goes with what."""

from qcore.recipe.parts import (
    TASKS,
    TEXTS,
    Activations,
    Calibration,
    Evaluation,
    ExpansionPart,
    ModelRef,
    PermutationPart,
    RotationPart,
    Rounding,
    ScalesPart,
    Weights,
)
from qcore.recipe.precision import Pin, Precision, Probe, Training
from qcore.recipe.recipe import SCHEMA, Recipe
from qcore.recipe.suffix import SuffixPart

__all__ = [
    "SCHEMA",
    "TASKS",
    "TEXTS",
    "Activations",
    "Calibration",
    "Evaluation",
    "ExpansionPart",
    "ModelRef",
    "PermutationPart",
    "Pin",
    "Precision",
    "Probe",
    "Recipe",
    "RotationPart",
    "Rounding",
    "ScalesPart",
    "SuffixPart",
    "Training",
    "Weights",
]
