"""What a recipe asks of a network beyond what the network was made for: possible, to be told."""

from __future__ import annotations

from qcore.recipe import Recipe


def length_notes(recipe: Recipe, context: int | None) -> list[str]:
    """A sentence for every kind of window that is longer than a network's texts were.

    Positions that a network has never seen give numbers all the same; they say how it fails there,
    and little about quantization. `Resolved.notes` has these for the Report and the preview; a form
    may call this with `ModelSource.context` while a recipe is filled in.

    Args:
        recipe: whose windows are looked at.
        context: the network's `max_position_embeddings`; None where it is not known.
    """
    if context is None:
        return []
    return [
        f"{name} windows of {length} tokens are longer than the {context} tokens that the network "
        "was made for (max_position_embeddings)."
        for name, length in _lengths(recipe)
        if length > context
    ]


def _lengths(recipe: Recipe) -> list[tuple[str, int]]:
    """The windows that a run will cut, by name."""
    part = recipe.precision
    found = [("Evaluation", recipe.evaluation.length)]
    captures = recipe.weights is not None or recipe.permutation is not None
    if recipe.calibration is not None and captures:
        found.insert(0, ("Calibration", recipe.calibration.length))
    if part is not None and part.needs_sensitivity:
        found.append(("Sensitivity", part.probe.length))
    if part is not None and part.method == "dmx":
        found.append(("Training", part.training.length))
    return found
