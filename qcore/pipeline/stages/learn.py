"""dMX inside a run: offsets are learned on the calibration text, and every few steps are kept.

What was learned is a training's whole state, as one artifact that is replaced as it goes on; a run
that was killed continues from it and ends where an uninterrupted one does.
"""

from __future__ import annotations

from collections.abc import Sequence

from cache.digest import digest
from cache.store import Cache
from qcore.calibration.text import windows
from qcore.pipeline.keys import Keys
from qcore.pipeline.stages.capture import Calibrator
from qcore.pipeline.stages.transform import Transformer
from qcore.precision.dmx import State, Trained, train
from qcore.precision.layers import LayerSize
from qcore.progress import Progress


class Learner:
    """Trains a recipe's offsets."""

    def __init__(self, keys: Keys, cache: Cache, calibrator: Calibrator, transformer: Transformer):
        self._keys = keys
        self._cache = cache
        self._calibrator = calibrator
        self._transformer = transformer

    def learn(self, layers: Sequence[LayerSize], progress: Progress) -> Trained:
        """Offsets of all free layers.

        Raises:
            InvalidRecipe: nothing is free to learn, or the formats have no path between them.
            NumericalError: the loss is not finite.
            DataError: the calibration text is too short for the windows of all steps.
        """
        recipe = self._keys.recipe
        part, calibration = recipe.precision, recipe.calibration
        assert part is not None
        assert calibration is not None
        assert recipe.weights is not None
        training = part.training
        network = self._transformer.network(progress)
        key = digest([self._keys.assign, "state"])
        kept = self._cache.artifact(key)
        tokens = calibration.windows * calibration.length  # the same text, cut anew
        count = min(training.steps * training.batch, max(1, tokens // training.length))
        return train(
            network.model,
            windows(network.tokenizer, calibration.text, count, training.length, network.words),
            layers,
            part,
            inputs=None if recipe.activations is None else recipe.activations.value,
            rule=recipe.weights.scale_rounding,
            state=None if kept is None else State(**kept.tensors),
            save=lambda state: self._cache.put_artifact(key, state.to_tensors()),
            progress=progress,
        )
