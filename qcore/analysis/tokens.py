"""The tokens of a finished run: what each cost, and the text that they are.

A Report names the stage that scored it by key, so nothing is resolved and no model is loaded. The
records may have been evicted, and runs from before have none: then there is nothing to show until
that one stage is made sure of again (`stage_of` names it).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from cache.store import Outcomes
from qcore.errors import QuantscopeError
from qcore.evaluation.tokens import TokenScores, token_statistics
from qcore.pipeline.keys import part_key
from qcore.pipeline.stage import PIECES, TOKENS
from qcore.report.report import Report
from qcore.report.tokens import TokenStatistics


@dataclass(frozen=True, slots=True, eq=False)
class RunTokens:
    """Every scored token of a run, a row per window.

    Attributes:
        pieces: the text of each window, token by token; the first token is predicted by nothing,
            so there is one more than there are scores.
        loss: nats.
        kl: KL(float ‖ run), nats; None where the run was scored without the float network.
        delta_p: change of the text's token's probability; None likewise.
        agreement: whether the most likely token is the same; None likewise.
    """

    pieces: tuple[tuple[str, ...], ...]
    loss: Float[np.ndarray, "windows tokens"]
    kl: Float[np.ndarray, "windows tokens"] | None
    delta_p: Float[np.ndarray, "windows tokens"] | None
    agreement: Bool[np.ndarray, "windows tokens"] | None


def stage_of(report: Report) -> str:
    """The stage that scored the run: `evaluate`, or `reference` for the float network."""
    names = {stage.name for stage in report.stages}
    return "evaluate" if "evaluate" in names else "reference"


def key_of(report: Report) -> str:
    """The key of that stage; empty where the Report names none."""
    name = stage_of(report)
    return next((stage.key for stage in report.stages if stage.name == name), "")


def tokens_of(report: Report, cache: Outcomes) -> RunTokens | None:
    """Read a run's tokens; None where the cache lacks any of them."""
    scores = _scores(report, cache)
    pieces = _pieces(report, cache)
    if scores is None or pieces is None:
        return None
    lengths = {len(part) for part in pieces} | {len(window.loss) + 1 for window in scores}
    if len(lengths) != 1:  # a record that was damaged in a way its seal cannot know
        return None
    loss = _stacked(scores, "loss")
    assert loss is not None
    if stage_of(report) == "reference":  # the float network does not diverge from itself
        zero = np.zeros_like(loss)
        return RunTokens(pieces, loss, zero, zero, np.ones(loss.shape, dtype=bool))
    return RunTokens(
        pieces,
        loss,
        _stacked(scores, "kl"),
        _stacked(scores, "delta_p"),
        _stacked(scores, "agreement"),
    )


def statistics_of(report: Report, cache: Outcomes) -> TokenStatistics | None:
    """The Report's statistics over tokens, from its records where it was written before.

    Returns:
        None for the float network, without divergence, and where the records are gone.
    """
    if report.tokens is not None:
        return report.tokens
    if not has_statistics(report):
        return None
    scores = _scores(report, cache)
    if scores is None:
        return None
    try:
        return token_statistics(scores)
    except QuantscopeError:  # records without the float network beside them
        return None


def has_statistics(report: Report) -> bool:
    """Whether the run is one that statistics against the float network can be made of."""
    recipe = report.recipe
    has_text = recipe.suffix is None  # suffixes have test cases for windows, and no tokens
    return has_text and stage_of(report) == "evaluate" and recipe.evaluation.divergence


def _scores(report: Report, cache: Outcomes) -> list[TokenScores] | None:
    key = key_of(report)
    if not key:
        return None
    found = []
    for window in range(report.recipe.evaluation.windows):
        kept = cache.artifact(part_key(key, TOKENS, window))
        if kept is None:
            return None
        try:
            found.append(TokenScores.from_tensors(kept.tensors))
        except QuantscopeError:
            return None
    return found


def _pieces(report: Report, cache: Outcomes) -> tuple[tuple[str, ...], ...] | None:
    key = next((stage.key for stage in report.stages if stage.name == "reference"), "")
    if not key:
        return None
    found = []
    for window in range(report.recipe.evaluation.windows):
        kept = cache.record(part_key(key, PIECES, window))
        if not isinstance(kept, list) or not all(isinstance(piece, str) for piece in kept):
            return None
        found.append(tuple(kept))
    return tuple(found)


def _stacked(windows: list[TokenScores], name: str) -> np.ndarray | None:
    parts = [getattr(window, name) for window in windows]
    if any(part is None for part in parts):
        return None
    return torch.stack(parts).numpy()
