"""The Suffixes page's tables, pure: beams, runs of one network, directly-follows pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from qcore.recipe.titles import method, title_of
from qcore.report.report import Report
from qcore.report.summary import Summary

if TYPE_CHECKING:
    from qcore.suffix.facts import LogFacts
    from qcore.suffix.prefix import Continuations

ARROW = " → "
SHOWN = 10


def spoken(names: Sequence[str]) -> str:
    """A suffix as people read it."""
    return ARROW.join(names) or "(ends)"


def beam(told: Continuations, vocabulary: Sequence[str], alpha: float) -> pd.DataFrame:
    """The finished suffixes of the beam by their score, the likeliest ones.

    Args:
        told: what may follow.
        vocabulary: activities by number.
        alpha: of the score log p / (events + 1)^α; 0 is the log-probability itself.
    """
    ordered = sorted(told.beam, key=lambda each: -each.score(alpha))[:SHOWN]
    return pd.DataFrame(
        {
            "Suffix": [spoken([vocabulary[at] for at in each.suffix]) for each in ordered],
            "Probability": [100 * math.exp(each.log_probability) for each in ordered],
            "Score": [each.score(alpha) for each in ordered],
            "Events": [len(each.suffix) for each in ordered],
        }
    )


def runs(found: Sequence[Summary]) -> pd.DataFrame:
    """One row per run of a network, smallest first."""
    ordered = sorted(found, key=lambda run: (run.bits, run.created))
    table: dict[str, list] = {
        "id": [run.id for run in ordered],
        "Run": [title_of(run.recipe) for run in ordered],
        "method": [method(run.recipe) for run in ordered],
        "Bits per weight": [run.bits for run in ordered],
    }
    for name, label in METRICS.items():
        scores = [run.score(name) for run in ordered]
        table[label] = [score.value if score else math.nan for score in scores]
        if name in ("similarity", "identical"):
            ends = [(score.low, score.high) if score else (None, None) for score in scores]
            table[f"{label}/low"] = [_number(low) for low, _ in ends]
            table[f"{label}/high"] = [_number(high) for _, high in ends]
    return pd.DataFrame(table)


METRICS = {
    "similarity": "Similarity",
    "identical": "Identical to float",
    "exact": "Exact",
    "cross_entropy": "Cross-entropy (nats/event)",
    "kl": "KL (nats/event)",
}


def lengths(report: Report) -> pd.DataFrame:
    """Mean similarity by length of the prefix, of the network and of the baselines."""
    assert report.suffix is not None
    rows = report.suffix.lengths
    return pd.DataFrame(
        {
            "Events seen": [row.length for row in rows],
            "Prefixes": [row.prefixes for row in rows],
            "Network": [row.network for row in rows],
            "Lookup": [row.lookup for row in rows],
            "Markov": [row.markov for row in rows],
        }
    )


def follows(facts: LogFacts) -> pd.DataFrame:
    """The directly-follows graph as a table."""
    names = [activity.name for activity in facts.activities]
    return pd.DataFrame(
        {
            "Activity": [names[a] for a, _, _ in facts.follows],
            "Followed by": [names[b] for _, b, _ in facts.follows],
            "Times": [times for _, _, times in facts.follows],
        }
    )


def kept_pairs(facts: LogFacts, share: float) -> list[tuple[int, int, int]]:
    """The most frequent pairs that make up a share of all that directly follows."""
    total, seen, found = sum(times for _, _, times in facts.follows), 0, []
    for pair in facts.follows:
        if seen >= share * total:
            break
        found.append(pair)
        seen += pair[2]
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else value
