"""A network whose stages take about a second each, recipes for it, and a home to run them in."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import Job
from qcore.recipe import Recipe
from qcore.report.library import Library
from qcore.report.report import Report
from tests.models.factories import SIZES, tiny_tokenizer
from tests.pipeline.factories import numbers, write_text

WIDE = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4}


def wait(condition: Callable[[], object], seconds: float, pause: float = 0.05) -> bool:
    """Whether `condition` came to hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


class Workshop:
    """A folder with a checkpoint, a text and any number of homes.

    Args:
        folder: is made.
        wide: a network that takes seconds, not the tests' own of milliseconds.
        windows: how many the wide network reads, of `length` tokens.
        length: see `windows`.
    """

    def __init__(self, folder: Path, *, wide: bool = True, windows: int = 24, length: int = 128):
        self.folder = folder
        self.model = folder / "model"
        self.text = folder / "text.txt"
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(7)
        config = LlamaConfig(**{**SIZES, **(WIDE if wide else {})})
        LlamaForCausalLM(config).save_pretrained(self.model)
        tiny_tokenizer().save_pretrained(self.model)
        write_text(self.text, words=30_000 if wide else 3_000)
        self._windows = {"windows": windows, "length": length}
        if not wide:
            self._windows = {"windows": 4, "length": 24}

    def recipe(self, **parts: Any) -> Recipe:
        """GPTQ to INT4 unless `parts` says otherwise."""
        text = {"text": f"file:{self.text}", **self._windows}
        return Recipe.from_dict(
            {
                "model": {"source": "folder", "name": str(self.model)},
                "weights": {"format": "int4", "group": 16},
                "rounding": {"method": "gptq"},
                "calibration": text,
                **parts,
                "evaluation": {**text, **parts.get("evaluation", {})},
            }
        )

    def home(self, name: str) -> Path:
        """An empty home."""
        root = self.folder / name
        root.mkdir(mode=0o700)
        return root

    def unbroken(self, recipe: Recipe, name: str = "unbroken") -> tuple:
        """The numbers that a run finds whom nothing disturbs, in a home of its own."""
        backend = LocalBackend(self.home(name), devices=["cpu"])
        (job,) = backend.submit([recipe])
        ended(backend, job.id, 600)
        found = report(backend, job.id)
        backend.close()
        return numbers(found)


def ended(backend: LocalBackend, job: str, seconds: float) -> Job:
    """The job, once it has ended; as it stands when that takes too long."""

    def over() -> bool:
        backend.tick()
        return backend.status(job).state.ended

    wait(over, seconds, 0.2)
    return backend.status(job)


def report(backend: LocalBackend, job: str) -> Report:
    """The Report of a finished job."""
    return Library(backend.root).get(backend.status(job).report)
