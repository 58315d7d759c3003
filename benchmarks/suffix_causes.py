"""Why a similarity is what it is: lengths of samples, limits on length, the end as an activity.

    python -m benchmarks.suffix_causes --data FOLDER --scratch FOLDER [--logs SEPSIS …] [--fold 0]
    python -m benchmarks.suffix_causes --simulated

--scratch is what `benchmarks.suffix` trained into. Three tables for each log, of a trained network:

    lengths   events of 20 samples of 150 test prefixes beside those that truly follow, by k
    limits    argmax on validation and test prefixes (2,500 at most), by the limit on length
    end       argmax and the plain beam on all test prefixes, the end counted as an activity or not

--simulated needs no data: a network is trained on 400 cases whose lengths are geometric, and its
samples should be as long as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._measure import table
from benchmarks.suffix import LOGS
from qcore.suffix.batches import Prefixes, prefixes
from qcore.suffix.beam import beam_search, choose
from qcore.suffix.checkpoint import load_network
from qcore.suffix.decode import Limits, argmax, longest_suffix, sample
from qcore.suffix.encoding import Encoded, learn_encoder
from qcore.suffix.folds import read_folds
from qcore.suffix.logs.columns import read_csv
from qcore.suffix.logs.event_log import event_log
from qcore.suffix.metrics import similarities
from qcore.suffix.model import Shape, SuffixNetwork
from qcore.suffix.train import TrainingPlan, begin, train
from qcore.suffix.tuning import SHARES, argmax_limit

BANDS = ((2, 2), (3, 5), (6, 15), (16, 10_000))
ASKED, SAMPLES, MOST = 150, 20, 2500


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    if arguments.simulated:
        print(table([simulated()]))
        return
    for name in arguments.logs:
        log = read_csv(arguments.data / f"{name}.csv.gz")
        split = read_folds(arguments.data / f"{name}.folds.csv.gz", log)[arguments.fold]
        network, encoder = load_network(arguments.scratch / f"{name}.{arguments.fold}")
        encoded = encoder.encode(log)
        every = prefixes(encoded)
        learn, validate, test = (every.of(c) for c in (split.train, split.validate, split.test))
        print(name)
        print(table(lengths(network, encoded, learn, test)))
        print(table(limits(network, encoded, learn, validate, test)))
        print(table(end(network, encoded, learn, validate, test)), flush=True)


def lengths(
    network: SuffixNetwork, encoded: Encoded, learn: Prefixes, test: Prefixes
) -> list[dict[str, Any]]:
    """Mean events of samples and of what truly follows, a row for each band of k."""
    random, rows = np.random.default_rng(0), []
    for low, high in BANDS:
        place = np.flatnonzero((test.length >= low) & (test.length <= high))
        asked = _at(test, np.sort(random.permutation(place)[:ASKED]))
        if len(asked) == 0:
            continue
        limits = Limits(longest_suffix(encoded, learn))
        drawn = sample(network, encoded, asked, limits, samples=SAMPLES)
        true = encoded.lengths[asked.case] - asked.length
        rows.append(
            {
                "k": f"{low} to {high}",
                "samples": float(np.mean([len(s) for each in drawn for s in each])),
                "true": float(true.mean()),
                "its error": float(true.std() / len(true) ** 0.5),
            }
        )
    return rows


def limits(
    network: SuffixNetwork, encoded: Encoded, learn: Prefixes, validate: Prefixes, test: Prefixes
) -> list[dict[str, Any]]:
    """Argmax's similarity for each limit."""
    longest = [longest_suffix(encoded, learn, share) for share in SHARES]
    found = {}
    for part, asked in (("validation", _thinned(validate)), ("test", _thinned(test))):
        whole = argmax(network, encoded, asked, Limits(max(longest)))
        true = _true(encoded, asked)
        found[part] = [float(similarities([s[:n] for s in whole], true).mean()) for n in longest]
    return [
        {"share": share, "limit": n, **{part: values[at] for part, values in found.items()}}
        for at, (share, n) in enumerate(zip(SHARES, longest, strict=True))
    ]


def end(
    network: SuffixNetwork, encoded: Encoded, learn: Prefixes, validate: Prefixes, test: Prefixes
) -> list[dict[str, Any]]:
    """Similarity without and with the end as an activity."""
    longest = argmax_limit(network, encoded, learn, validate, _true(encoded, validate))
    beams = beam_search(network, encoded, test, Limits(longest))
    answers = {
        "argmax": argmax(network, encoded, test, Limits(longest)),
        "beam, α = 0": [choose(each, 0.0) for each in beams],
    }
    true = _true(encoded, test)
    closed = [[*suffix, encoded.end] for suffix in true]
    return [
        {
            "answer": name,
            "similarity": float(similarities(found, true).mean()),
            "end counted": float(similarities([[*s, encoded.end] for s in found], closed).mean()),
        }
        for name, found in answers.items()
    ]


def simulated(chance: float = 0.1, cases: int = 600, learned: int = 400) -> dict[str, Any]:
    """Mean events after two, true and sampled, where each event is the last with one chance."""
    lengths = 2 + np.random.default_rng(0).geometric(chance, cases)
    names = np.repeat([f"case {i}" for i in range(cases)], lengths)
    place = np.concatenate([np.arange(n) for n in lengths])
    seconds = np.repeat(1e5 * np.arange(cases), lengths) + 60.0 * place
    log = event_log(names, np.where(place % 2, "B", "A"), seconds)
    encoded = learn_encoder(log).encode(log)
    every = prefixes(encoded)
    learn, validate = every.of(np.arange(learned)), every.of(np.arange(learned, cases))
    shape = Shape(2, hidden=8, embedding=4, attention=4, layers=1, dropout=0.0)
    plan = TrainingPlan(epochs=8, patience=8, rows=64)
    progress = begin(lambda: SuffixNetwork(shape), plan)
    network = train(progress, plan, encoded, learn, validate)
    asked = _at(validate, np.flatnonzero(validate.length == 2))
    drawn = sample(network, encoded, asked, Limits(400), samples=10)
    return {
        "true": float((lengths[:learned] - 2).mean()),
        "samples": float(np.mean([len(s) for each in drawn for s in each])),
        "validation loss": min(epoch.validation for epoch in progress.history),
    }


def _at(asked: Prefixes, place: np.ndarray) -> Prefixes:
    return Prefixes(asked.case[place], asked.length[place])


def _thinned(asked: Prefixes) -> Prefixes:
    return _at(asked, np.unique(np.linspace(0, len(asked) - 1, MOST).astype(np.int64)))


def _true(encoded: Encoded, asked: Prefixes) -> list[list[int]]:
    return [encoded.suffix(c, k) for c, k in zip(asked.case, asked.length.tolist(), strict=True)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--logs", nargs="+", choices=LOGS, default=list(LOGS))
    parser.add_argument("--fold", type=int, default=0)
    arguments = parser.parse_args()
    if not arguments.simulated and None in (arguments.data, arguments.scratch):
        parser.error("name the logs with --data and the trained networks with --scratch")
    return arguments


if __name__ == "__main__":
    main()
