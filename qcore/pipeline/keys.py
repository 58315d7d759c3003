"""What each stage depends on, written as keys.

A stage's key is the digest of its own inputs, its version and its parents' keys, so two recipes
share a stage exactly when nothing that the stage reads differs. Changing what a stage computes
means raising its version here: everything below it is then computed anew. What changes for some
recipes alone goes into the keys of those (`qcore.pipeline.revisions`).

    load ── capture ── transform ─┬──────────── scales ──┬── quantize ──┬── evaluate (by window)
      │                           └ sensitivity ─ assign ┘              │
      └──── reference ──────────────────────────────────────────────────┴── task     (by task)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.digest import digest
from qcore.calibration.text import text_digest
from qcore.models.demo import artefact_of
from qcore.models.limits import length_notes
from qcore.models.loading import ModelSource, resolve
from qcore.pipeline import revisions
from qcore.recipe import Recipe
from qcore.serialization import to_plain

VERSIONS = {
    "load": 2,
    "capture": 1,
    "reference": 1,
    "transform": 1,
    "sensitivity": 1,
    "assign": 1,
    "scales": 1,
    "quantize": 2,
    "evaluate": 1,
    "task": 1,
    "report": 2,
}


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


def block_key(stage_key: str, block: int) -> str:
    """Key of one decoder block's outcome in the stage of that key."""
    return digest([stage_key, "block", block])


@dataclass(frozen=True, slots=True)
class Keys:
    """The stage keys of one recipe over its resolved inputs."""

    recipe: Recipe
    inputs: Resolved

    @property
    def report(self) -> str:
        """The Report's id: 16 digits over the recipe, the contents it names, and the stages."""
        inputs = [self.inputs.source.digest, self.inputs.data]
        changed = revisions.of_any(self.recipe, self.inputs.source)
        return digest(["report", VERSIONS, self.recipe.digest, inputs, *changed])[:16]

    @property
    def load(self) -> str:
        """The float network."""
        return self._key("load", self.inputs.source.digest, self.recipe.model.dtype)

    @property
    def capture(self) -> str:
        """The float network's statistics on the calibration text; empty without one."""
        part = self.recipe.calibration
        if part is None or (self.recipe.weights is None and not self.permutes):
            return ""
        return self._key("capture", self.load, self.inputs.calibration, part.windows, part.length)

    @property
    def permutes(self) -> bool:
        """Whether channels are reordered by what the capture saw of them."""
        part = self.recipe.permutation
        return part is not None and part.method != "identity"

    @property
    def transform(self) -> str:
        """The rotated, permuted, expanded float network; the float network's key where it is it."""
        recipe = self.recipe
        if recipe.rotation is None:
            return self.load
        parts = [to_plain(recipe.rotation), to_plain(recipe.permutation)]
        parts.append(to_plain(recipe.expansion))
        draws = recipe.rotation.signs or (self.permutes and recipe.permutation is not None)
        seed = recipe.seed if draws else None
        seen = self.capture if self.permutes else ""
        changed = revisions.of_rotation(recipe, self.inputs.source)
        return self._key("transform", self.load, seen, parts, seed, *changed)

    @property
    def scales(self) -> str:
        """Scales that are found from the float network alone, before any rounding."""
        recipe = self.recipe
        parts = [to_plain(recipe.weights), self._scale_knobs, *self._budget]
        parts += revisions.of_weights(recipe)
        return self._key("scales", self.transform, self.capture, parts)

    @property
    def sensitivity(self) -> str:
        """What each layer's formats cost. The budget, and how it is spent, is not looked at."""
        recipe, part = self.recipe, self.recipe.precision
        assert part is not None
        assert recipe.weights is not None
        inputs, changed = None, revisions.of_weights(recipe)
        if recipe.activations is not None and part.shared:
            symmetric = recipe.activations.value.symmetric
            changed += revisions.of_inputs(recipe)
            inputs = [symmetric, recipe.activations.group, recipe.activations.scale_rounding]
        return self._key(
            "sensitivity",
            self.transform,
            self.capture,
            self.inputs.calibration,
            part.narrow_to_wide,
            [recipe.weights.group, recipe.weights.scale_rounding, self._scale_knobs],
            inputs,
            [part.probe.windows, part.probe.length],
            *changed,
        )

    @property
    def assign(self) -> str:
        """One format per layer; empty without a budget."""
        recipe, part = self.recipe, self.recipe.precision
        if part is None or recipe.weights is None:
            return ""
        asked = to_plain(part)
        looks = self.sensitivity if part.needs_sensitivity else ""
        if not part.needs_sensitivity:
            del asked["probe"]
        learned = None
        if part.method == "dmx":
            learned = [self.inputs.calibration, to_plain(recipe.calibration)]
            learned.append(to_plain(recipe.activations))
            learned += revisions.of_training(recipe)
        else:
            del asked["training"]
        formats = [to_plain(recipe.weights), recipe.activations is not None]
        seed = recipe.seed if part.method in ("random", "dmx") else None
        return self._key("assign", self.transform, formats, looks, learned, asked, seed)

    @property
    def quantize(self) -> str:
        """The quantized weights. Activations matter only where they shape the layer inputs."""
        recipe = self.recipe
        if recipe.weights is None:
            return self.transform
        rounding = to_plain(recipe.rounding)
        if recipe.rounding.method == "rtn":  # what RTN does not look at must not part two runs
            rounding = ["rtn", recipe.rounding.inputs, recipe.rounding.interleaving]
        sees_activations = recipe.rounding.inputs != "float" and recipe.activations
        activations = to_plain(recipe.activations) if sees_activations else None
        changed = revisions.of_weights(recipe)
        changed += revisions.of_inputs(recipe) if sees_activations else []
        return self._key(
            "quantize",
            self.transform,
            self.capture,
            to_plain(recipe.weights),
            self._scale_knobs,
            rounding,
            activations,
            *self._budget,
            *changed,
        )

    @property
    def reference(self) -> str:
        """The float network on the evaluation text."""
        evaluation = self.recipe.evaluation
        return self._key("reference", self.load, self.inputs.evaluation, evaluation.length)

    @property
    def evaluate(self) -> str:
        """The quantized network on the evaluation text."""
        evaluation = self.recipe.evaluation
        return self._key(
            "evaluate",
            self.reference,
            self.quantize,
            self._activations,
            evaluation.divergence,
            *revisions.of_inputs(self.recipe),
        )

    @property
    def is_float(self) -> bool:
        """Whether this is the untouched float network."""
        recipe = self.recipe
        return recipe.weights is None and recipe.activations is None and recipe.rotation is None

    def block(self, stage: str, block: int) -> str:
        """Key of one decoder block's outcome in `capture` or `quantize`."""
        return block_key(getattr(self, stage), block)

    def window(self, stage: str, window: int) -> str:
        """Key of one window's outcome in `reference` or `evaluate`."""
        return digest([getattr(self, stage), "window", window])

    def hidden(self, window: int) -> str:
        """Key of the float network's final hidden states in one evaluation window."""
        return digest([self.reference, "hidden", window])

    def task(self, task: str) -> str:
        """Key of one task's scores."""
        limit = self.recipe.evaluation.limit
        inputs = [self.quantize, self._activations, task, self.inputs.tasks[task], limit]
        return self._key("task", *inputs, *revisions.of_inputs(self.recipe))

    @property
    def _budget(self) -> list[str]:
        """What a bit budget adds to a key; nothing without one, so older keys stay."""
        return [self.assign] if self.assign else []

    @property
    def _scale_knobs(self) -> dict[str, Any]:
        """How scales are found; what holds them is nothing to MX formats."""
        knobs = to_plain(self.recipe.scales)
        if not self.recipe.has_float_scales:
            del knobs["storage"]
        return knobs

    @property
    def _activations(self) -> object:
        return to_plain(self.recipe.activations) if self.recipe.activations else None

    def _key(self, stage: str, *inputs: object) -> str:
        return digest([stage, VERSIONS[stage], *inputs])
