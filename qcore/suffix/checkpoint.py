"""Keep a network, or a training to go on with, as safetensors and JSON; nothing is pickled.

    FOLDER/network.json          shape, vocabulary, feature means and deviations
    FOLDER/network.safetensors   the best epoch's weights
    FOLDER/training.json         how it is trained, steps and losses so far
    FOLDER/training.safetensors  weights, averages and AdamW's moments after the last epoch

Each file appears whole or not at all (written beside its name, then renamed). The two of a training
carry the same epoch, so a writer killed between them is noticed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from qcore.errors import BrokenCheckpoint, InvalidRecipe
from qcore.suffix.encoding import Encoder
from qcore.suffix.model import Shape, SuffixNetwork
from qcore.suffix.train import Epoch, Progress, TrainingPlan, describe

VERSION = 1
RETRAIN = "train again into an empty folder"


def save_network(folder: Path, network: SuffixNetwork, encoder: Encoder) -> None:
    """Weights, shape and vocabulary, for inference."""
    folder.mkdir(parents=True, exist_ok=True)
    _save_tensors(folder / "network.safetensors", network.state_dict(), {})
    record = {"version": VERSION, "shape": network.shape.to_json(), "encoder": encoder.to_json()}
    _save_json(folder / "network.json", record)


def load_network(folder: Path) -> tuple[SuffixNetwork, Encoder]:
    """A network as `save_network` kept it.

    Raises:
        BrokenCheckpoint: missing, truncated, of another version, or tensors that do not fit.
    """
    record = _read_json(folder / "network.json")
    shape, encoder = _shape(record), Encoder.from_json(record.get("encoder", {}))
    if shape.activities != len(encoder.vocabulary):
        raise BrokenCheckpoint(
            f"the network is for {shape.activities} activities, its vocabulary has "
            f"{len(encoder.vocabulary)}",
            remedy=RETRAIN,
        )
    tensors, _ = _read_tensors(folder / "network.safetensors")
    network = SuffixNetwork(shape)
    _fill(network, tensors)
    return network.eval(), encoder


def save_progress(
    folder: Path, progress: Progress, training: TrainingPlan, encoder: Encoder
) -> None:
    """All that a training needs to go on, and its best network so far."""
    folder.mkdir(parents=True, exist_ok=True)
    epoch = str(len(progress.history))
    tensors = {f"weight/{k}": v for k, v in progress.network.state_dict().items()}
    tensors |= {f"average/{k}": v for k, v in progress.average.items()}
    tensors |= {f"best/{k}": v for k, v in progress.best.items()}
    for name, (first, second) in progress.moments.items():
        tensors[f"first/{name}"], tensors[f"second/{name}"] = first, second
    _save_tensors(folder / "training.safetensors", tensors, {"epoch": epoch})
    record = {
        "version": VERSION,
        "shape": progress.network.shape.to_json(),
        "training": training.to_json(),
        "encoder": encoder.to_json(),
        "steps": progress.steps,
        "history": describe(progress.history),
    }
    _save_json(folder / "training.json", record)
    if progress.history and progress.history[-1].best:
        save_network(folder, progress.best_network(), encoder)


def load_progress(folder: Path, training: TrainingPlan, encoder: Encoder) -> Progress | None:
    """The training kept in `folder`; None if there is none.

    Args:
        folder: as given to `save_progress`.
        training: must be what the kept training ran with; `epochs` and `patience` may differ.
        encoder: must be equal, too: the same training cases.

    Raises:
        BrokenCheckpoint: it cannot be read.
        InvalidRecipe: it ran with other settings or cases.
    """
    if not (folder / "training.json").exists():
        return None
    record = _read_json(folder / "training.json")
    _check_same(record, training, encoder)
    tensors, meta = _read_tensors(folder / "training.safetensors")
    try:
        history = [Epoch(**epoch) for epoch in record["history"]]
        steps = int(record["steps"])
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenCheckpoint(f"training.json is incomplete ({error!r})", remedy=RETRAIN) from None
    if meta.get("epoch") != str(len(history)):
        raise BrokenCheckpoint(
            f"weights of epoch {meta.get('epoch')} stand beside losses of {len(history)} epochs",
            remedy=RETRAIN,
        )
    network = SuffixNetwork(_shape(record))
    parts: dict[str, dict[str, torch.Tensor]] = {
        part: {} for part in ("weight", "average", "best", "first", "second")
    }
    for key, value in tensors.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = value
    _fill(network, parts["weight"])
    for part in ("average", "best", "first", "second"):
        if parts[part] or part != "best":
            _check_fit(network, parts[part])
    moments = {name: (first, parts["second"][name]) for name, first in parts["first"].items()}
    return Progress(network, parts["average"], moments, steps, parts["best"], history)


def _check_same(record: dict[str, Any], training: TrainingPlan, encoder: Encoder) -> None:
    kept = record.get("training", {})
    for name, value in training.to_json().items():
        if name not in ("epochs", "patience") and kept.get(name) != value:
            raise InvalidRecipe(
                f"the kept training has {name} = {kept.get(name)}, this one {value}",
                remedy="resume with the same settings, or train into another folder",
            )
    if Encoder.from_json(record.get("encoder", {})) != encoder:
        raise InvalidRecipe(
            "the kept training learned from other cases",
            remedy="resume with the same log and split, or train into another folder",
        )


def _shape(record: dict[str, Any]) -> Shape:
    if record.get("version") != VERSION:
        raise BrokenCheckpoint(
            f"the checkpoint has version {record.get('version')!r}, this program writes {VERSION}",
            remedy=RETRAIN,
        )
    try:
        return Shape(**record["shape"])
    except (KeyError, TypeError, InvalidRecipe) as error:
        raise BrokenCheckpoint(
            f"the network's shape is not one ({error})", remedy=RETRAIN
        ) from None


def _fill(network: SuffixNetwork, tensors: dict[str, torch.Tensor]) -> None:
    _check_fit(network, tensors)
    network.load_state_dict(tensors)


def _check_fit(network: SuffixNetwork, tensors: dict[str, torch.Tensor]) -> None:
    for name, own in network.state_dict().items():
        found = tensors.get(name)
        if found is None or found.shape != own.shape or found.dtype != own.dtype:
            what = "is missing" if found is None else f"is {tuple(found.shape)} {found.dtype}"
            raise BrokenCheckpoint(
                f"tensor {name} {what}; the shape asks for {tuple(own.shape)} {own.dtype}",
                remedy=RETRAIN,
            )


def _save_tensors(path: Path, tensors: dict[str, torch.Tensor], meta: dict[str, str]) -> None:
    part = path.with_suffix(".part")
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, part, meta)
    os.replace(part, path)


def _save_json(path: Path, record: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.replace(part, path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenCheckpoint(f"{path.name} cannot be read ({error})", remedy=RETRAIN) from error
    if not isinstance(record, dict):
        raise BrokenCheckpoint(f"{path.name} is no JSON object", remedy=RETRAIN)
    return record


def _read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BrokenCheckpoint(f"{path.name} cannot be read ({error})", remedy=RETRAIN) from error
