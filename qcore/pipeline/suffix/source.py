"""The event log that a suffix recipe names: its content's digest, its cases, and their parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cache.digest import digest
from qcore.errors import DataError
from qcore.models.files import printable, real_path
from qcore.models.source import ModelSource, digest_files
from qcore.recipe import Recipe
from qcore.recipe.suffix import FOLDS
from qcore.recipe.titles import log_label

if TYPE_CHECKING:
    from qcore.suffix.folds import Split
    from qcore.suffix.logs.event_log import EventLog

SIMULATION = 1
"""Version of the built-in process."""


def resolve_log(recipe: Recipe, root: Path) -> ModelSource:
    """What the recipe's log is, pinned by content.

    Raises:
        DataError: there is no such file.
        BrokenCheckpoint: it cannot be read, or changes meanwhile.
    """
    part = recipe.suffix
    assert part is not None
    shape = f"{part.cell.upper()} {part.layers} × {part.hidden}"
    if recipe.model.name:
        paths = [_file(recipe.model.name, "event log")]
        if part.folds:
            paths.append(_file(part.folds, "fold file"))
        content = digest_files(paths, root)
    else:
        content = digest(["simulated process", SIMULATION, part.cases])
    return ModelSource(
        kind="suffix",
        digest=content,
        folder=Path(recipe.model.name or root),
        label=f"{log_label(recipe)} · {shape}",
        family="suffix",
    )


def _file(name: str, what: str) -> Path:
    path = real_path(name, error=DataError, remedy="check the path")
    if not path.is_file():
        raise DataError(f"there is no {what} at {printable(name)}", remedy="check the path")
    return path


def read_log(recipe: Recipe) -> EventLog:
    """The recipe's log.

    Raises:
        DataError: it cannot be read or holds nothing to learn.
    """
    from qcore.suffix.logs.event_log import check_learnable
    from qcore.suffix.process import simulate

    part = recipe.suffix
    assert part is not None
    if not recipe.model.name:
        return simulate(part.cases)
    log = read_path(Path(recipe.model.name), part.columns)
    check_learnable(log)
    return log


def read_path(path: Path, names: tuple[str, ...] = ()) -> EventLog:
    """The log in a CSV or XES file, told apart by its name.

    Args:
        path: the file, plain or gzip.
        names: the CSV's columns of case, activity and time; guessed if empty.

    Raises:
        DataError: as `read_csv` and `read_xes`.
    """
    from qcore.suffix.logs.columns import Columns, read_csv
    from qcore.suffix.logs.xes import is_xes, read_xes

    if is_xes(path):
        return read_xes(path)
    return read_csv(path, Columns(*names) if names else None)


def split_of(recipe: Recipe, log: EventLog) -> Split:
    """Which cases train, validate and test.

    Raises:
        DataError: a part has no cases, or the fold file does not fit the log.
        InvalidRecipe: there is no such fold.
    """
    from qcore.suffix.folds import k_folds, read_folds, temporal_split

    part = recipe.suffix
    assert part is not None
    if part.split == "time":
        return temporal_split(log)
    if part.split == "cases":
        if len(log) < 2 * FOLDS:
            raise DataError(
                f"{len(log)} cases cannot be divided into {FOLDS} folds with some to train on",
                remedy=f"give a log with at least {2 * FOLDS} cases; 100 are few",
            )
        return k_folds(log, FOLDS)[part.fold]
    splits = read_folds(Path(part.folds), log)
    if part.fold >= len(splits):
        raise DataError(
            f"fold {part.fold} is none of the {len(splits)} of {Path(part.folds).name}",
            remedy=f"choose 0 to {len(splits) - 1}",
        )
    return splits[part.fold]
