"""Suffix prediction on the field's logs: similarity, exact suffixes and times, fold by fold.

    python -m benchmarks.suffix --data FOLDER --scratch FOLDER [--logs SEPSIS Helpdesk …]
        [--folds 0 1 2 3 4] [--validation file drawn] [--minutes 60]
    python -m benchmarks.suffix --speed

FOLDER of --data (or QUANTSCOPE_EVENTLOGS) holds LOG.csv.gz and LOG.folds.csv.gz. Protocol: prefixes
of 2 events or more whose suffix is not empty; the mean over prefixes of 1 − DL / max length. In
each fold the epoch, α of the beam and the longest suffix allowed are chosen on the validation
cases: the fold file's, or as many drawn by chance from the cases that do not test ("drawn").
`with_end` is the similarity with the end counted as an activity, which no other number here does.
One row per log, fold, validation and method.

A training that is stopped goes on from its last epoch when the same command runs again, and a fold
that is done is not done again: both live in --scratch. No fold begins after --minutes. Seconds are
CPU seconds of one thread.

--speed needs no data: training steps on the simulated process, as targets (events and ends) per CPU
second, for each way to arrange the same work.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._measure import interleave, save, table
from qcore.suffix.baselines import Lookup, Markov
from qcore.suffix.batches import Batch, Prefixes, batches, prefixes
from qcore.suffix.beam import beam_search, choose
from qcore.suffix.cells import Tap
from qcore.suffix.checkpoint import load_progress, save_progress
from qcore.suffix.decode import Limits, argmax, least_expected_distance, sample
from qcore.suffix.encoding import Encoded, learn_encoder
from qcore.suffix.folds import Split, read_folds
from qcore.suffix.logs.columns import read_csv
from qcore.suffix.logs.event_log import EventLog
from qcore.suffix.metrics import difference, scores, similarities, spread
from qcore.suffix.model import Shape, SuffixNetwork
from qcore.suffix.process import simulate
from qcore.suffix.train import Progress, TrainingPlan, begin, target_losses, train
from qcore.suffix.tuning import argmax_limit, beam_limit, reach

LOGS = ("SEPSIS", "Helpdesk", "bpi_challenge_2013_incidents", "BPI_Challenge_2012_W_Complete")
PUBLISHED = dict(zip(LOGS, (0.397, 0.900, 0.622, 0.362), strict=True))
SHAPES: dict[str, dict[str, Any]] = {
    "SEPSIS": {"hidden": 48, "dropout": 0.2},
    "Helpdesk": {"hidden": 48, "dropout": 0.1},
    "bpi_challenge_2013_incidents": {"hidden": 64, "dropout": 0.1},
    "BPI_Challenge_2012_W_Complete": {"hidden": 64, "dropout": 0.1},
}
TRAINING: dict[str, dict[str, Any]] = {
    "SEPSIS": {"rows": 128, "epochs": 40, "patience": 6},
    "Helpdesk": {"rows": 128, "epochs": 40, "patience": 6},
    "bpi_challenge_2013_incidents": {"rows": 256, "epochs": 20, "patience": 4},
    "BPI_Challenge_2012_W_Complete": {"rows": 256, "epochs": 20, "patience": 4},
}
SAMPLES = 40
VALIDATIONS = {"file": "", "drawn": ".drawn"}
"""Who says which cases validate, and what that adds to a fold's name in the scratch folder."""
FEW = 50
"""Prefixes of one length that a mean by length needs to be kept."""
BEAMS_AS_CANDIDATES = 10


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    if arguments.speed:
        rows = speed()
        print(table(rows))
        print(save("suffix_speed", rows))
        return
    deadline = time.monotonic() + 60 * arguments.minutes
    asked = itertools.product(arguments.folds, arguments.logs, arguments.validation)
    for fold, name, validation in asked:
        scratch = arguments.scratch / f"{name}.{fold}{VALIDATIONS[validation]}"
        done = scratch.with_name(f"{scratch.name}.json")
        if done.exists() or time.monotonic() > deadline:
            continue
        log = read_csv(arguments.data / f"{name}.csv.gz")
        path = arguments.data / f"{name}.folds.csv.gz"
        split = read_folds(path, log, drawn=validation == "drawn")[fold]
        rows = run_fold(name, fold, log, split, scratch)
        rows = [{**row, "validation": validation} for row in rows]
        done.write_text(json.dumps(rows))
        print(table([{k: v for k, v in row.items() if k in SHOWN} for row in rows]), flush=True)
    finished = sorted(arguments.scratch.glob("*.json"))
    rows = [_shortened(row) for path in finished for row in json.loads(path.read_text())]
    if rows:
        print(table(summary(rows)))
        print(save("suffix", rows))


def speed(cases: int = 300, repeats: int = 3) -> list[dict[str, Any]]:
    """One row a contender: forward and backward over the same prefixes, least of the repeats."""
    log = simulate(cases)
    encoder = learn_encoder(log)
    encoded = encoder.encode(log)
    asked = prefixes(encoded)
    targets = int((encoded.lengths[asked.case] - asked.length + 1).sum())

    def step(network: SuffixNetwork, batch: Batch, tap: Tap | None = None) -> None:
        target_losses(network, batch, tap=tap).mean().backward()

    def contender(
        rows: int, *, alone: bool = False, tap: Tap | None = None, **shape: Any
    ) -> Callable[[], None]:
        network = SuffixNetwork(Shape(len(encoder.vocabulary), **shape))
        packs = list(batches(encoded, asked, rows=rows, random=np.random.default_rng(0)))
        if alone:
            packs = [_a_case_a_row(batch) for batch in packs]

        def run() -> None:
            for batch in packs:
                step(network, batch, tap)

        return run

    seconds = interleave(
        {
            "GRU(64), 256 prefixes": contender(256),
            "the encoder once a prefix": contender(256, alone=True),
            "64 prefixes": contender(64),
            "1024 prefixes": contender(1024),
            "GRU(32)": contender(256, hidden=32),
            "GRU(128)": contender(256, hidden=128),
            "LSTM(64)": contender(256, cell="lstm"),
            "every product explicit": contender(256, tap=lambda name, x: x),
        },
        repeats=repeats,
    )
    return [
        {"contender": name, "targets_per_second": round(targets / taken)}
        for name, taken in seconds.items()
    ]


def _a_case_a_row(batch: Batch) -> Batch:
    """The same rows, each with a case of its own for the encoder."""
    return replace(
        batch,
        activity=batch.activity[batch.case],
        times=batch.times[batch.case],
        case=torch.arange(len(batch.case)),
    )


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over folds and standard deviation, one row per log and method."""
    found = []
    for name, validation in itertools.product(LOGS, VALIDATIONS):
        here = [row for row in rows if (row["log"], row["validation"]) == (name, validation)]
        for method in dict.fromkeys(row["method"] for row in here):
            folds = [row for row in here if row["method"] == method]
            over = spread([row["similarity"] for row in folds])
            found.append(
                {
                    "log": name,
                    "validation": validation,
                    "folds": over.folds,
                    "method": method,
                    "similarity": over.mean,
                    "deviation": "–" if over.deviation is None else over.deviation,
                    "with end": spread([row["with_end"] for row in folds]).mean,
                    "exact": spread([row["exact"] for row in folds]).mean,
                    "published": PUBLISHED[name],
                    "training, s": spread([row["training_seconds"] for row in folds]).mean,
                    "prediction, s": spread([row["seconds"] for row in folds]).mean,
                }
            )
    return found


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    """Without the prefix lengths that hardly occur."""
    usual = [each for each in row["by_length"] if each[2] >= FEW]
    return {**row, "by_length": usual}


SHOWN = ("log", "fold", "validation", "method", "similarity", "exact", "seconds")


def run_fold(
    name: str, fold: int, log: EventLog, split: Split, scratch: Path
) -> list[dict[str, Any]]:
    """Train, decode in every way, and score: one row a method."""
    encoder = learn_encoder(log.select(split.train))
    encoded = encoder.encode(log)
    every = prefixes(encoded)
    learn, validate, test = (every.of(c) for c in (split.train, split.validate, split.test))
    training = TrainingPlan(**TRAINING[name])
    shape = Shape(len(encoder.vocabulary), **SHAPES[name])
    progress = load_progress(scratch, training, encoder)
    if progress is None:
        progress = begin(lambda: SuffixNetwork(shape), training)
    cpu = _Clock(scratch / "cpu.json")

    def keep(progress: Progress) -> None:
        save_progress(scratch, progress, training, encoder)
        epoch = progress.history[-1]
        cpu.add()
        print(
            f"{name} fold {fold} epoch {epoch.number}: {epoch.training:.4f} / "
            f"{epoch.validation:.4f}, {cpu.total:.0f} s",
            flush=True,
        )

    network = train(progress, training, encoded, learn, validate, on_epoch=keep)
    trained = cpu.kept
    methods = decode(network, encoded, learn, validate, test)
    true = [encoded.suffix(c, k) for c, k in zip(test.case, test.length, strict=True)]
    closed = [[*suffix, encoded.end] for suffix in true]
    lookup = similarities(methods["lookup"][0], true)
    rows = []
    for method, (predicted, seconds, extra) in methods.items():
        values = similarities(predicted, true)
        ended = similarities([[*s, encoded.end] for s in predicted], closed)
        over = difference(lookup, values, test.case)
        rows.append(
            {
                "log": name,
                "fold": fold,
                "method": method,
                **asdict(scores(values, test.case, test.length)),
                "with_end": float(ended.mean()),
                "above_lookup": over,
                "seconds": seconds,
                **extra,
                "training_seconds": trained,
                "epochs": len(progress.history),
                "validation_loss": min(epoch.validation for epoch in progress.history),
                "shape": shape.to_json(),
                "training": training.to_json(),
            }
        )
    return rows


def decode(
    network: SuffixNetwork, encoded: Encoded, learn: Prefixes, validate: Prefixes, test: Prefixes
) -> dict[str, tuple[list[list[int]], float, dict[str, Any]]]:
    """(suffixes of the test prefixes, CPU seconds, further facts) of each method."""
    truth = [encoded.suffix(c, k) for c, k in zip(validate.case, validate.length, strict=True)]
    known = encoded, learn, validate, truth
    found: dict[str, tuple[list[list[int]], float, dict[str, Any]]] = {}

    def timed(method: str, started: float, predicted: list[list[int]], **extra: Any) -> None:
        found[method] = (predicted, time.process_time() - started, extra)

    limits = Limits(argmax_limit(network, *known))
    started = time.process_time()
    timed("argmax", started, argmax(network, encoded, test, limits), longest=limits.longest)

    longest, alpha, hoped = beam_limit(network, *known)
    started = time.process_time()
    beams = beam_search(network, encoded, test, Limits(longest))
    chosen = [choose(each, alpha) for each in beams]
    timed("beam", started, chosen, longest=longest, alpha=alpha, validation=hoped)
    timed("beam, α = 0", started, [choose(each, 0.0) for each in beams], longest=longest)

    started = time.process_time() - found["beam"][1]  # the beams are candidates
    drawn = sample(network, encoded, test, Limits(reach(encoded, learn)), samples=SAMPLES)
    pairs = [
        least_expected_distance(each, [h.suffix for h in beam[:BEAMS_AS_CANDIDATES]])
        for each, beam in zip(drawn, beams, strict=True)
    ]
    hoped = float(np.mean([value for _, value in pairs]))
    timed("least expected distance", started, [suffix for suffix, _ in pairs], expected=hoped)

    started = time.process_time()
    timed("lookup", started, Lookup(encoded, learn).predict(test))
    started = time.process_time()
    timed("Markov", started, Markov(encoded, learn, reach(encoded, learn)).predict(test))
    return found


class _Clock:
    """CPU seconds of a training over all its sittings."""

    def __init__(self, path: Path):
        self._path = path
        self._began = time.process_time()
        self._before = self.kept

    @property
    def kept(self) -> float:
        return json.loads(self._path.read_text()) if self._path.exists() else 0.0

    @property
    def total(self) -> float:
        return self._before + time.process_time() - self._began

    def add(self) -> None:
        self._path.write_text(json.dumps(self.total))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("QUANTSCOPE_EVENTLOGS"))
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--logs", nargs="+", choices=LOGS, default=list(LOGS))
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--validation", nargs="+", choices=VALIDATIONS, default=["file"])
    parser.add_argument("--minutes", type=float, default=600)
    arguments = parser.parse_args()
    if arguments.speed:
        return arguments
    if arguments.scratch is None:
        sys.exit("name a folder for checkpoints with --scratch")
    if arguments.data is None:
        sys.exit("the logs are missing: name their folder with --data or QUANTSCOPE_EVENTLOGS")
    for name in arguments.logs:
        for path in (f"{name}.csv.gz", f"{name}.folds.csv.gz"):
            if not (Path(arguments.data) / path).exists():
                sys.exit(f"{arguments.data} has no {path}; name the folder of the logs with --data")
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    return arguments


if __name__ == "__main__":
    main()
