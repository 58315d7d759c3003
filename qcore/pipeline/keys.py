"""Keys of a recipe's stages, made from the one table of stages.

A stage's key is the digest of its name, its version and what it reads, other stages' keys among
that. So two recipes share a stage exactly when nothing that the stage reads differs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cache.digest import digest
from qcore.pipeline import revisions
from qcore.pipeline.inputs import Resolved
from qcore.pipeline.stage import Asked, stage_names, stage_of, table
from qcore.recipe import Recipe

REPORT_VERSION = 2
"""Raised when the same stages come to another Report."""


def part_key(stage_key: str, part: str, index: int) -> str:
    """Key of one part, such as one `block` or one `window`, of the stage of that key."""
    return digest([stage_key, part, index])


def block_key(stage_key: str, block: int) -> str:
    """Key of one decoder block's outcome in the stage of that key."""
    return part_key(stage_key, "block", block)


@dataclass(frozen=True, slots=True)
class Keys:
    """The stage keys of one recipe over its resolved inputs.

    A stage's key is also an attribute by its name: `keys.capture`.
    """

    recipe: Recipe
    inputs: Resolved
    _known: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getattr__(self, name: str) -> str:
        if name not in {row.name for row in table(self.recipe) if row.each is None}:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return self.key(name)

    @property
    def report(self) -> str:
        """The Report's id: 16 digits over the recipe, the contents it names, and the stages."""
        versions = {row.name: row.version for row in table(self.recipe) if not row.aside}
        versions["report"] = REPORT_VERSION
        inputs = [self.inputs.source.digest, self.inputs.data]
        changed = revisions.of_any(self.recipe, self.inputs.source)
        return digest(["report", versions, self.recipe.digest, inputs, *changed])[:16]

    def key(self, stage: str) -> str:
        """The key of a stage, by its name; where the recipe has none, of what stands in for it.

        Raises:
            InvalidRecipe: there is no such stage.
        """
        if stage not in self._known:
            self._known[stage] = self._made(stage)
        return self._known[stage]

    def needs(self, stage: str) -> list[str]:
        """The stages of this recipe that this one cannot be computed without, in order."""
        row, subject = stage_of(self.recipe, stage)
        found: list[str] = []

        def key(name: str) -> str:
            found.append(name)
            return self.key(name)

        row.reads(Asked(self.recipe, self.inputs, key, subject))
        present = {self._present(name) for name in found}
        return [name for name in stage_names(self.recipe) if name in present]

    def entries(self, stage: str, blocks: int) -> list[str]:
        """The keys of all cache entries that make a stage complete.

        Args:
            stage: its name.
            blocks: decoder blocks of the network.
        """
        row, _ = stage_of(self.recipe, stage)
        if row.parts == "whole":
            return [self.key(stage)]
        windows = self.recipe.evaluation.windows
        count = blocks if row.parts == "block" else windows
        found = [self.part(stage, row.parts, index) for index in range(count)]
        for other, part in row.beside(self.recipe):
            found += [self.part(other, part, index) for index in range(windows)]
        return found

    def part(self, stage: str, part: str, index: int) -> str:
        """Key of one part of a stage's outcome."""
        return part_key(self.key(stage), part, index)

    def block(self, stage: str, block: int) -> str:
        """Key of one decoder block's outcome."""
        return self.part(stage, "block", block)

    def window(self, stage: str, window: int) -> str:
        """Key of one evaluation window's outcome."""
        return self.part(stage, "window", window)

    def hidden(self, window: int) -> str:
        """Key of the float network's final hidden states in one evaluation window."""
        return self.part("reference", "hidden", window)

    def task(self, task: str) -> str:
        """Key of one task's scores."""
        return self.key(f"task {task}")

    def _made(self, stage: str) -> str:
        row, subject = stage_of(self.recipe, stage)
        if row.otherwise is not None and not row.applies(self.recipe):
            return self.key(row.otherwise) if row.otherwise else ""
        inputs = row.reads(Asked(self.recipe, self.inputs, self.key, subject))
        return digest([row.name, row.version, *inputs])

    def _present(self, stage: str) -> str:
        """The stage, or the one that stands in for it in this recipe; empty for none."""
        row, _ = stage_of(self.recipe, stage)
        if row.applies(self.recipe):
            return stage
        return self._present(row.otherwise) if row.otherwise else ""
