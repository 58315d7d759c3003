"""Folders and text files that the form names: whether each is there, said at its field."""

from __future__ import annotations

from collections.abc import Collection

from pages._ui import engine
from qcore.errors import InvalidRecipe, QuantscopeError
from qcore.recipe import ModelRef
from qcore.recipe.axes import Axes


def faults_of(axes: Axes, counted: Collection[str]) -> dict[str, QuantscopeError]:
    """Why a folder or a text file cannot be used, by the path that names it."""
    found: dict[str, QuantscopeError] = {}
    for path in ("model.name[folder]", "calibration.text", "evaluation.text"):
        for value in axes[path] if path in counted else ():
            try:
                if path.startswith("model"):
                    engine.require_model(ModelRef("folder", value))
                elif value is not None and value.startswith("file:"):
                    engine.require_text(value)
            except InvalidRecipe:
                break  # the recipe itself refuses the name, at the same field
            except QuantscopeError as error:
                found[path] = error
                break
    return found
