"""What a recipe names outside itself, pinned by content: the model's files, texts, and tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cache.digest import digest
from qcore.calibration.text import text_digest
from qcore.models.demo import artefact_of
from qcore.models.limits import length_notes
from qcore.models.loading import ModelSource, resolve
from qcore.pipeline.suffix.source import resolve_log
from qcore.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe's outside inputs, pinned by content.

    Attributes:
        source: the model's files.
        calibration: digest of the calibration text; empty without one.
        evaluation: digest of the evaluation text.
        tasks: digest by task.
    """

    source: ModelSource
    calibration: str
    evaluation: str
    tasks: dict[str, str]

    @property
    def data(self) -> dict[str, str]:
        """Digests of texts and tasks for the report."""
        texts = {"calibration text": self.calibration, "evaluation text": self.evaluation}
        return {name: value for name, value in {**texts, **self.tasks}.items() if value}

    def notes(self, recipe: Recipe) -> list[str]:
        """What a reader of this recipe's results must know about the model."""
        notes = [*self.source.notes, *length_notes(recipe, self.source.context)]
        if self.source.kind == "demo" and recipe.weights is not None:
            artefact = artefact_of(recipe.weights.value)
            notes += [artefact] if artefact else []
        return notes


def resolve_inputs(recipe: Recipe, root: Path, *, download: bool = True) -> Resolved:
    """Pin what the recipe names. Reads files (memoised), never weights into memory.

    Raises:
        NotDownloaded: `download` is off, and a Hub model is not on this machine.
        ModelError: the model cannot be found or used.
        DataError: a text or task cannot be read.
    """
    if recipe.suffix is not None:
        source = resolve_log(recipe, root)
        part = recipe.suffix
        cases = digest([source.digest, part.split, part.fold, part.columns])
        return Resolved(source, calibration=cases, evaluation=cases, tasks={})
    return Resolved(
        source=resolve(recipe.model, root, download=download),
        calibration=text_digest(recipe.calibration.text) if recipe.calibration else "",
        evaluation=text_digest(recipe.evaluation.text),
        tasks=_task_digests(recipe.evaluation.tasks),
    )


def _task_digests(tasks: tuple[str, ...]) -> dict[str, str]:
    if not tasks:
        return {}
    from qcore.evaluation.questions import task_digest  # lm-eval takes seconds to import

    return {task: task_digest(task) for task in tasks}
