"""What a run is asked to do: the Recipe, its parts, and what goes with what."""

from qcore.recipe.parts import (
    TASKS,
    TEXTS,
    Activations,
    Calibration,
    Evaluation,
    Expansion,
    ModelRef,
    Permutation,
    Rotation,
    Rounding,
    Scales,
    Weights,
)
from qcore.recipe.precision import Pin, Precision, Probe, Training
from qcore.recipe.recipe import SCHEMA, Recipe

__all__ = [
    "SCHEMA",
    "TASKS",
    "TEXTS",
    "Activations",
    "Calibration",
    "Evaluation",
    "Expansion",
    "ModelRef",
    "Permutation",
    "Pin",
    "Precision",
    "Probe",
    "Recipe",
    "Rotation",
    "Rounding",
    "Scales",
    "Training",
    "Weights",
]
