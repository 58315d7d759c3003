"""Runs with token records in a cache, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from cache.digest import digest
from cache.store import Cache
from qcore.evaluation.tokens import TokenScores, token_statistics
from qcore.pipeline.keys import part_key
from qcore.pipeline.stage import PIECES, TOKENS
from qcore.recipe import Evaluation, Recipe, Rounding, ScalesPart, Weights
from qcore.report.library import Library
from qcore.report.report import Report, StageReport
from tests.report.factories import report_of

REFERENCE = digest(["a reference"])


def keep_pieces(cache: Cache, texts: Sequence[Sequence[str]]) -> None:
    """The text that all of these runs read."""
    for window, pieces in enumerate(texts):
        cache.put_record(part_key(REFERENCE, PIECES, window), list(pieces))


def keep_run(
    library: Library,
    cache: Cache | None,
    seed: int,
    windows: int,
    length: int,
    *,
    with_statistics: bool = True,
) -> Report:
    """A run whose losses are random and a little worse than the float network's.

    Args:
        library: gets the Report.
        cache: gets the tokens, unless None.
        seed: of the recipe and of the losses; equal float losses for all seeds.
        windows: evaluated.
        length: tokens in each, the first included.
        with_statistics: whether the Report has them, as one from before has not.
    """
    base = np.random.default_rng(0).gamma(2.0, 1.5, (windows, length - 1))
    rng = np.random.default_rng(seed + 1)
    loss = np.maximum(0, base + rng.normal(0.02, 0.2, base.shape))
    scores = [
        TokenScores(
            loss=torch.tensor(loss[w], dtype=torch.float32),
            kl=torch.tensor(rng.gamma(0.3, 0.05, length - 1), dtype=torch.float32),
            delta_p=torch.tensor(np.exp(-loss[w]) - np.exp(-base[w]), dtype=torch.float32),
            agreement=torch.tensor(rng.random(length - 1) < 0.9),
            float_loss=torch.tensor(base[w], dtype=torch.float32),
        )
        for w in range(windows)
    ]
    key = digest(["evaluation", seed])
    recipe = Recipe(
        weights=Weights("int4"),
        scales=ScalesPart("absmax"),
        rounding=Rounding("rtn"),
        evaluation=Evaluation(windows=windows, length=length),
        seed=seed,
    )
    if cache is not None:
        for window, tokens in enumerate(scores):
            cache.put_artifact(part_key(key, TOKENS, window), tokens.to_tensors())
    stages = (
        StageReport("reference", REFERENCE, 1.0, False),
        StageReport("evaluate", key, 1.0, False),
    )
    report = report_of(
        recipe,
        window_losses=tuple(float(row.loss.double().mean()) for row in scores),
        window_divergences=tuple(
            float(row.kl.double().mean()) for row in scores if row.kl is not None
        ),
        stages=stages,
    )
    statistics = token_statistics(scores) if with_statistics else None
    return library.add(replace(report, tokens=statistics))
