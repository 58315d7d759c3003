"""Checkpoint folders to be spoilt: what the tests of examining and loading share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from qcore.recipe import ModelRef
from tests.models.factories import tiny_model, tiny_tokenizer

INDEX = "model.safetensors.index.json"


def write_folder(folder: Path, family: str = "llama", *, shards: bool = False, **more: Any) -> Path:
    """A tiny checkpoint with its tokenizer, in one file or in several."""
    size = {"max_shard_size": "40KB"} if shards else {}
    tiny_model(family, **more).save_pretrained(folder, **size)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def ref(folder: Path) -> ModelRef:
    """The folder as a recipe names it."""
    return ModelRef("folder", str(folder))


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; a value of `...` removes the key."""
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    """Add, replace or (with None) remove tensors of a checkpoint in one file."""
    path = folder / "model.safetensors"
    weights = {**load_file(path), **changes}
    kept = {name: tensor for name, tensor in weights.items() if tensor is not None}
    save_file(kept, path, metadata={"format": "pt"})
