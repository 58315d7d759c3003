"""The reference and evaluate stages: what a network answers to the test prefixes, and its losses.

The float network comes first. It settles, on validation cases, what all networks share: the
longest suffix allowed and α of the beam. Baselines are counted there too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cache.store import Cache
from qcore.pipeline.keys import Keys
from qcore.pipeline.suffix.material import ROWS, Material
from qcore.progress import Progress
from qcore.serialization import from_plain, to_plain
from qcore.suffix.baselines import Lookup, Markov
from qcore.suffix.batches import Batch, Prefixes, batches
from qcore.suffix.beam import beam_search, choose
from qcore.suffix.cells import Tap
from qcore.suffix.decode import Limits, argmax, least_expected_distance, sample
from qcore.suffix.encoding import Encoded
from qcore.suffix.metrics import similarities
from qcore.suffix.model import SuffixNetwork
from qcore.suffix.train import teacher_forced
from qcore.suffix.tuning import argmax_limit, beam_limit, reach

SAMPLES = 40
TUNED = 2000
"""Validation prefixes by which limits and α are chosen, at most."""


@dataclass(frozen=True, slots=True)
class CaseLosses:
    """Teacher-forced losses by test case, in the order of cases.

    Attributes:
        targets: events and ends that count.
        losses: sum of cross-entropies, nats.
        kl: sum of KL(float ‖ network), nats; empty where not asked.
        agreed: targets at which both think the same likeliest; empty likewise.
    """

    targets: tuple[int, ...]
    losses: tuple[float, ...]
    kl: tuple[float, ...] = ()
    agreed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answers:
    """One network on the test prefixes.

    Attributes:
        suffixes: one a prefix.
        similarity: of each to the true one.
        scores: teacher-forced.
    """

    suffixes: tuple[tuple[int, ...], ...]
    similarity: tuple[float, ...]
    scores: CaseLosses


@dataclass(frozen=True, slots=True)
class References:
    """The float network's answers, what was settled by it, and the baselines' similarities.

    Attributes:
        answers: to the test prefixes.
        longest: events of a suffix at most.
        alpha: of the beam; None where the answer is another.
        lookup: similarities, one a prefix.
        markov: likewise.
        reach: events of a drawn suffix at most.
    """

    answers: Answers
    longest: int
    alpha: float | None
    lookup: tuple[float, ...]
    markov: tuple[float, ...]
    reach: int


def reference(
    keys: Keys, cache: Cache, material: Material, network: SuffixNetwork | None, progress: Progress
) -> tuple[References, bool]:
    """The float network's answers, and whether the cache had them.

    Args:
        keys: of the recipe.
        cache: where they are kept.
        material: the cases.
        network: float; may be None where the cache is known to have the answers.
        progress: told of the steps.
    """
    key = keys.key("reference")
    kept = cache.record(key)
    if kept is not None:
        return from_plain(References, kept, "reference"), True
    assert network is not None
    kind = _answer_of(keys)
    progress(0, 3, "limits on validation cases")
    longest, alpha = settle(network, material, kind)
    progress(1, 3, f"{len(material.test):,} prefixes of test cases")
    answers = answer(network, network, material, kind, longest, alpha)
    progress(2, 3, "baselines")
    encoded, true = material.encoded, material.true(material.test)
    counted = Lookup(encoded, material.learn).predict(material.test)
    drawn = reach(encoded, material.learn)
    chain = Markov(encoded, material.learn, drawn).predict(material.test)
    found = References(
        answers,
        longest,
        alpha,
        _floats(similarities(counted, true)),
        _floats(similarities(chain, true)),
        drawn,
    )
    cache.put_record(key, to_plain(found))
    return found, False


def settle(network: SuffixNetwork, material: Material, kind: str) -> tuple[int, float | None]:
    """The longest suffix and the beam's α, as validation cases have it for the kind of answer."""
    encoded, asked = material.encoded, _thinned(material.validate, TUNED)
    if kind == "expected":
        return reach(encoded, material.learn), None
    cases = encoded, material.learn, asked, material.true(asked)
    if kind == "beam":
        longest, alpha, _ = beam_limit(network, *cases)
        return longest, alpha
    return argmax_limit(network, *cases), None


def answer(
    network: SuffixNetwork,
    unquantized: SuffixNetwork,
    material: Material,
    kind: str,
    longest: int,
    alpha: float | None,
    *,
    tap: Tap | None = None,
    divergence: bool = False,
) -> Answers:
    """A network's suffixes and losses on the test prefixes.

    Args:
        network: whose.
        unquantized: what `divergence` is measured from.
        material: the cases.
        kind: `argmax`, `beam` or `expected`.
        longest: events of a suffix at most.
        alpha: of the beam.
        tap: rounds the inputs of the network's matrices.
        divergence: also KL to the float network, and agreement.
    """
    asked = material.test
    suffixes = decode(network, material.encoded, asked, kind, longest, alpha, tap=tap)
    return Answers(
        tuple(map(tuple, suffixes)),
        _floats(similarities(suffixes, material.true(asked))),
        losses(network, unquantized if divergence else None, material.encoded, asked, tap=tap),
    )


def decode(
    network: SuffixNetwork,
    encoded: Encoded,
    asked: Prefixes,
    kind: str,
    longest: int,
    alpha: float | None,
    *,
    tap: Tap | None = None,
) -> list[list[int]]:
    """One suffix a prefix, by the kind of answer."""
    limits = Limits(longest)
    if kind == "beam":
        found = beam_search(network, encoded, asked, limits, tap=tap)
        return [choose(each, alpha or 0.0) for each in found]
    if kind == "expected":
        drawn = sample(network, encoded, asked, limits, samples=SAMPLES, tap=tap)
        return [least_expected_distance(each)[0] for each in drawn]
    return argmax(network, encoded, asked, limits, tap=tap)


def losses(
    network: SuffixNetwork,
    unquantized: SuffixNetwork | None,
    encoded: Encoded,
    asked: Prefixes,
    *,
    tap: Tap | None = None,
) -> CaseLosses:
    """Teacher-forced losses by case; beside the float network where there is one."""
    cases, place = np.unique(asked.case, return_inverse=True)
    sums = {name: np.zeros(len(cases)) for name in ("targets", "losses", "kl", "agreed")}
    network.eval()
    with torch.inference_mode():
        for batch in batches(encoded, asked, rows=ROWS):
            logits, targets = teacher_forced(network, batch, tap=tap)
            known = targets <= network.end
            owner = place[_rows(batch)[known.numpy()]]
            chances = torch.log_softmax(logits[known].double(), 1)
            loss = -chances.gather(1, targets[known, None])[:, 0]
            np.add.at(sums["targets"], owner, 1)
            np.add.at(sums["losses"], owner, loss.numpy())
            if unquantized is not None:
                whole, _ = teacher_forced(unquantized, batch)
                base = torch.log_softmax(whole[known].double(), 1)
                np.add.at(sums["kl"], owner, (base.exp() * (base - chances)).sum(1).numpy())
                np.add.at(sums["agreed"], owner, (base.argmax(1) == chances.argmax(1)).numpy())
    with_kl = unquantized is not None
    return CaseLosses(
        tuple(int(n) for n in sums["targets"]),
        _floats(sums["losses"]),
        _floats(np.maximum(sums["kl"], 0)) if with_kl else (),
        tuple(int(n) for n in sums["agreed"]) if with_kl else (),
    )


def evaluate(
    keys: Keys,
    cache: Cache,
    material: Material,
    networks: tuple[SuffixNetwork, SuffixNetwork] | None,
    tap: Tap | None,
    settled: References,
    progress: Progress,
) -> tuple[Answers, bool]:
    """The changed network's answers, and whether the cache had them.

    Args:
        keys: of the recipe.
        cache: where they are kept.
        material: the cases.
        networks: the changed and the float one; None where the cache has the answers.
        tap: rounds inputs.
        settled: the float network's answers.
        progress: told of the steps.
    """
    key = keys.key("evaluate")
    kept = cache.record(key)
    if kept is not None:
        return from_plain(Answers, kept, "answers"), True
    assert networks is not None
    progress(0, 1, f"{len(material.test):,} prefixes of test cases")
    found = answer(
        *networks,
        material,
        _answer_of(keys),
        settled.longest,
        settled.alpha,
        tap=tap,
        divergence=keys.recipe.evaluation.divergence,
    )
    cache.put_record(key, to_plain(found))
    return found, False


def _answer_of(keys: Keys) -> str:
    assert keys.recipe.suffix is not None
    return keys.recipe.suffix.answer


def _rows(batch: Batch) -> np.ndarray:
    """The prefix of every target, in the order of `teacher_forced`."""
    return torch.cat([batch.prefix[:running] for running in batch.running]).numpy()


def _thinned(asked: Prefixes, most: int) -> Prefixes:
    place = np.unique(np.linspace(0, len(asked) - 1, min(most, len(asked))).astype(np.int64))
    return Prefixes(asked.case[place], asked.length[place])


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.asarray(values, dtype=np.float64).tolist())
