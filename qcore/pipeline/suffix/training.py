"""The train stage: a network from the training cases, resumable epoch by epoch.

The cache keeps the finished network. The training itself, with all that it needs to go on, lives in
the home's folder `suffix/KEY` and stays there: it has the losses epoch by epoch, which is what a
page shows while the job runs, and it gives the network back after the cache has lost it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cache.store import Cache
from qcore.errors import BrokenCheckpoint
from qcore.pipeline.keys import Keys
from qcore.pipeline.suffix.material import Material
from qcore.progress import Progress, silent
from qcore.recipe import Recipe
from qcore.report.suffix import EpochReport
from qcore.serialization import from_plain, parse_json, to_plain
from qcore.suffix.checkpoint import load_progress, save_progress
from qcore.suffix.encoding import Encoder
from qcore.suffix.model import Shape, SuffixNetwork
from qcore.suffix.train import Progress as Training
from qcore.suffix.train import TrainingPlan, begin, train

_FIELDS = ("number", "training", "validation", "best")


class Trainer:
    """Trains what is missing, and hands out the network."""

    def __init__(self, keys: Keys, cache: Cache, root: Path, material: Material):
        self._keys = keys
        self._cache = cache
        self._material = material
        self._folder = training_folder(root, keys.key("train"))
        self._network: SuffixNetwork | None = None
        self._encoder: Encoder | None = None
        self.history: tuple[EpochReport, ...] = ()

    def complete(self, progress: Progress) -> bool:
        """Make sure that the network is kept; returns whether it was."""
        kept = kept_network(self._keys.key("train"), self._cache)
        if kept is not None:
            self._network, self._encoder, self.history = kept
            return True
        recipe, material = self._keys.recipe, self._material
        plan, shape = plan_of(recipe), shape_of(recipe, len(material.encoder.vocabulary))
        going = self._resumed(plan) or begin(lambda: SuffixNetwork(shape), plan)
        count, seen = plan.epochs, len(going.history)
        progress(seen, count, f"{len(material.learn):,} prefixes, at most {count} epochs")

        def on_epoch(now: Training) -> None:
            save_progress(self._folder, now, plan, material.encoder)
            epoch = now.history[-1]
            progress(
                epoch.number,
                count,
                f"epoch {epoch.number}: training {epoch.training:.4f}, validation "
                f"{epoch.validation:.4f} nats per event",
            )

        def on_batch(epoch: int, rows: int, loss: float) -> None:
            progress(epoch - 1, count, f"epoch {epoch}: {rows:,} prefixes, loss {loss:.3f}")

        learn, validate = material.learn, material.validate
        network = train(
            going, plan, material.encoded, learn, validate, on_epoch=on_epoch, on_batch=on_batch
        )
        self.history = _history(going)
        self._keep(network)
        return False

    def network(self) -> SuffixNetwork:
        """The trained float network; `complete` must have run, or is run here."""
        if self._network is None:
            self.complete(silent)
        assert self._network is not None
        return self._network

    @property
    def encoder(self) -> Encoder:
        """What the network reads cases with; kept beside it, so the log need not be read."""
        return self._encoder or self._material.encoder

    def _resumed(self, plan: TrainingPlan) -> Training | None:
        try:
            return load_progress(self._folder, plan, self._material.encoder)
        except BrokenCheckpoint:
            return None  # a torn file costs its epochs, not the run

    def _keep(self, network: SuffixNetwork) -> None:
        encoder = self._material.encoder
        metadata = {
            "shape": json.dumps(network.shape.to_json()),
            "encoder": json.dumps(encoder.to_json()),
            "history": json.dumps(to_plain(self.history)),
        }
        tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
        self._cache.put_artifact(self._keys.key("train"), tensors, metadata)
        self._network = network


def kept_network(
    key: str, cache: Cache
) -> tuple[SuffixNetwork, Encoder, tuple[EpochReport, ...]] | None:
    """The network of a train stage, its encoder and its losses; None where the cache has none."""
    kept = cache.artifact(key)
    if kept is None:
        return None
    network = SuffixNetwork(Shape(**parse_json(kept.metadata["shape"])))
    network.load_state_dict({name: value.clone() for name, value in kept.tensors.items()})
    encoder = Encoder.from_json(parse_json(kept.metadata["encoder"]))
    return network.eval(), encoder, _epochs(parse_json(kept.metadata["history"]))


def training_folder(root: Path, key: str) -> Path:
    """Where the training of that key keeps what it needs to go on."""
    return root / "suffix" / key[:16]


def losses_so_far(root: Path, key: str) -> tuple[EpochReport, ...]:
    """The epochs that a training has done, running or finished; none where it has not begun."""
    try:
        text = (training_folder(root, key) / "training.json").read_text(encoding="utf-8")
        rows = json.loads(text)["history"]
        return _epochs([{name: row[name] for name in _FIELDS} for row in rows])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def shape_of(recipe: Recipe, activities: int) -> Shape:
    """The network's shape for a vocabulary of that size."""
    part = recipe.suffix
    assert part is not None
    return Shape(
        activities,
        cell=part.cell,
        embedding=part.embedding,
        hidden=part.hidden,
        layers=part.layers,
        dropout=part.dropout,
    )


def plan_of(recipe: Recipe) -> TrainingPlan:
    """How the recipe trains."""
    part = recipe.suffix
    assert part is not None
    return TrainingPlan(
        epochs=part.epochs,
        patience=part.patience,
        rows=part.rows,
        rate=part.rate,
        seed=recipe.seed,
    )


def _history(training: Training) -> tuple[EpochReport, ...]:
    return tuple(
        EpochReport(epoch.number, epoch.training, epoch.validation, epoch.best)
        for epoch in training.history
    )


def _epochs(rows: Sequence[object]) -> tuple[EpochReport, ...]:
    return tuple(from_plain(EpochReport, row, "epoch") for row in rows)
