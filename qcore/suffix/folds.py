"""Which cases train, which validate and which test.

Three ways to say it: a fold file as the field shares them, k folds by case drawn here, or one split
in time. A case is never in two parts of a split.

A fold file is a CSV with the columns `case, test_fold, val_folds`: the fold in which a case tests,
and the folds, joined by semicolons, in which it validates. Either may be empty. In fold k all other
cases train; where no case validates in a fold, a fifth of those that do not test is drawn for it. A
case that the file does not name is an error; a name that the log lacks is not, as fold files often
belong to a longer version of a log.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from qcore.errors import DataError, InvalidRecipe
from qcore.suffix.logs.columns import read_table
from qcore.suffix.logs.event_log import EventLog

COLUMNS = ("case", "test_fold", "val_folds")
VALIDATION = 0.2
"""Share of the cases that do not test which validates where nobody says which ones do."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Numbers of cases of one log, ascending; no case in two of them."""

    train: Int[np.ndarray, " train"]
    validate: Int[np.ndarray, " validate"]
    test: Int[np.ndarray, " test"]

    def __post_init__(self):
        for name in ("train", "validate", "test"):
            if len(getattr(self, name)) == 0:
                raise DataError(
                    f"no case is left to {name}", remedy="use fewer folds or a longer log"
                )


def read_folds(path: Path, log: EventLog, *, drawn: bool = False) -> list[Split]:
    """All splits of a fold file, by fold.

    Args:
        path: the file.
        log: whose cases it names.
        drawn: whether validation cases are drawn by chance, whatever the file says.

    Raises:
        DataError: the file cannot be read, a column or a case is missing, a fold is not a number,
            or a split leaves a part empty.
    """
    table = read_table(path, COLUMNS)
    rows = dict(
        zip(table["case"], zip(table["test_fold"], table["val_folds"], strict=True), strict=True)
    )
    absent = [case for case in log.cases if case not in rows]
    if absent:
        raise DataError(
            f"{path.name} does not name {len(absent)} of {len(log)} cases, such as {absent[0]!r}",
            remedy="use the fold file of this log",
        )
    test = np.array([_fold(rows[case][0], path) for case in log.cases])
    validate = [
        {_fold(part, path) for part in rows[case][1].split(";") if part} for case in log.cases
    ]
    splits = []
    for fold in range(int(test.max()) + 1):
        tests = test == fold
        validates = np.array([fold in folds for folds in validate]) & ~tests
        if drawn or not validates.any():
            validates = _drawn(~tests, VALIDATION, np.random.default_rng(fold))
        splits.append(_split(tests, validates))
    if not splits:
        raise DataError(f"{path.name} names no test fold", remedy="number the folds from 0")
    return splits


def k_folds(
    log: EventLog, folds: int, *, validation: float = VALIDATION, seed: int = 0
) -> list[Split]:
    """Cases drawn into `folds` test folds of equal size; a share of the rest validates.

    Raises:
        InvalidRecipe: fewer than 2 folds, more folds than cases, or a share outside (0, 1).
        DataError: a split leaves a part empty.
    """
    _check_share("validation", validation)
    if not 2 <= folds <= len(log):
        raise InvalidRecipe(
            f"{folds} folds of {len(log)} cases", remedy=f"choose 2 to {len(log)} folds"
        )
    order = np.random.default_rng(seed).permutation(len(log))
    splits = []
    for fold in range(folds):
        tests = np.zeros(len(log), dtype=bool)
        tests[order[fold::folds]] = True
        rest = np.array([case for case in order if not tests[case]])
        validates = np.zeros(len(log), dtype=bool)
        validates[rest[: max(1, round(validation * len(rest)))]] = True
        splits.append(_split(tests, validates))
    return splits


def temporal_split(log: EventLog, *, validation: float = 0.16, test: float = 0.2) -> Split:
    """Cases in the order of their first event: early ones train, later ones validate, last test.

    Cases may overlap in time: a case that began earlier may end after a later one began. Only
    whole cases are divided, so no case is cut.

    Raises:
        InvalidRecipe: a share outside (0, 1), or nothing left to train on.
        DataError: a split leaves a part empty.
    """
    _check_share("validation", validation)
    _check_share("test", test)
    if validation + test >= 1:
        raise InvalidRecipe(
            f"validation and test take {validation + test:.0%} of the cases",
            remedy="leave some to train on",
        )
    order = np.argsort(log.seconds[log.starts[:-1]], kind="stable")
    tests, validates = np.zeros(len(log), dtype=bool), np.zeros(len(log), dtype=bool)
    last = round(len(log) * (1 - test))
    tests[order[last:]] = True
    validates[order[round(len(log) * (1 - test - validation)) : last]] = True
    return _split(tests, validates)


def _drawn(among: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """A share of the cases marked in `among`, at least one, by chance."""
    cases = random.permutation(np.flatnonzero(among))
    chosen = np.zeros(len(among), dtype=bool)
    chosen[cases[: max(1, round(share * len(cases)))]] = True
    return chosen


def _split(tests: np.ndarray, validates: np.ndarray) -> Split:
    return Split(
        np.flatnonzero(~tests & ~validates), np.flatnonzero(validates), np.flatnonzero(tests)
    )


def _fold(value: str, path: Path) -> int:
    """−1 for none."""
    if not value:
        return -1
    if not value.isdecimal():
        raise DataError(
            f"{path.name} has the fold {value[:20]!r}", remedy="number the folds from 0"
        )
    return int(value)


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise InvalidRecipe(
            f"the share for {name} is {share}", remedy="choose a number between 0 and 1"
        )
