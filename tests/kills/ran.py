"""A whole run: killed anywhere, it goes on from what is cached to an unbroken one's numbers."""

from __future__ import annotations

from pathlib import Path

import torch

from cache.store import Cache
from qcore.pipeline import Session, run
from qcore.recipe import Recipe
from qcore.report.library import Library
from tests.pipeline.factories import numbers, write_checkpoint, write_text

BUDGET = {"method": "kl", "formats": ["int4", "int8"], "budget": 6.0}


def prepare(root: Path) -> None:
    """A checkpoint and a text, the same for all."""
    root.mkdir(parents=True)
    torch.manual_seed(0)
    write_checkpoint(root / "model")
    write_text(root / "text.txt")


def recipe(root: Path) -> Recipe:
    """GPTQ with an assignment by sensitivity: nearly every stage."""
    text = {"text": f"file:{root / 'text.txt'}", "windows": 3, "length": 24}
    return Recipe.from_dict(
        {
            "model": {"source": "folder", "name": str(root / "model")},
            "weights": {"format": "int4"},
            "scales": {"method": "mse"},
            "rounding": {"method": "gptq"},
            "precision": BUDGET,
            "calibration": text,
            "evaluation": text,
        }
    )


def act(root: Path) -> None:
    """Run it and keep its Report."""
    torch.set_num_threads(1)
    store = Cache(root / "cache")
    session = Session(root)
    found = run(recipe(root), cache=store, emit=lambda event: None, root=root, session=session)
    Library(root).add(found)
    store.close()


def check(root: Path) -> None:
    """Every Report that is there reads."""
    library = Library(root)
    assert len(library.reports()) == len(library.ids())


def finished(root: Path) -> None:
    """One Report, with the numbers of the unbroken run."""
    (found,) = Library(root).reports()
    (whole,) = Library(root.parent / "whole").reports()
    assert numbers(found) == numbers(whole)
