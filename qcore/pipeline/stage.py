"""The stages of a run: their names, in order, and the conditions under which a recipe has them."""

from __future__ import annotations

from dataclasses import dataclass

from qcore.recipe import Recipe


def stage_names(recipe: Recipe) -> list[str]:
    """The stages that a recipe goes through, in order."""
    weights, rotates = recipe.weights is not None, recipe.rotation is not None
    permutes = recipe.permutation is not None and recipe.permutation.method != "identity"
    wanted = {
        "load": True,
        "reference": True,
        "capture": recipe.calibration is not None and (weights or permutes),
        "transform": rotates,
        "sensitivity": recipe.precision is not None and recipe.precision.needs_sensitivity,
        "assign": recipe.precision is not None,
        "quantize": weights,
        "evaluate": weights or rotates or recipe.activations is not None,
    }
    tasks = [f"task {task}" for task in recipe.evaluation.tasks]
    return [name for name, needed in wanted.items() if needed] + tasks


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage before it runs: what it is called, its key, whether all its outcomes are cached."""

    name: str
    key: str
    cached: bool
