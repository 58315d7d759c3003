"""Jobs and sweeps as people call them."""

from __future__ import annotations

from collections.abc import Sequence

from pages._ui import wording
from pages._ui.runs import fields
from qcore.jobs.protocol import Job, JobState, Sweep
from qcore.recipe.axes import flatten
from qcore.recipe.titles import title_of

_BY_NEWS = (
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.FINISHED,
    JobState.RUNNING,
    JobState.QUEUED,
)
LOOK_AT = {
    "capture": ("pages/outliers.py", "Outliers"),
    "sensitivity": ("pages/bits.py", "Bits"),
    "evaluate": ("pages/compare.py", "Compare"),
}
"""Stage → the page that draws it, and what it is called."""


def job_title(job: Job) -> str:
    """`W INT4 · GPTQ`, or `capture of W INT4 · GPTQ` where one stage is wanted."""
    title = title_of(job.recipe)
    return f"{stage_title(job.ensure)} of {title}" if job.ensure else title


def job_titles(jobs: Sequence[Job]) -> list[str]:
    """Titles that tell jobs apart which are shown together."""
    recipes = [job.recipe for job in jobs]
    models = [recipe.model.name or recipe.model.source for recipe in recipes]
    titles = [job_title(job) for job in jobs]
    return fields.apart(titles, [flatten(recipe) for recipe in recipes], models)


def short_id(job: Job) -> str:
    """What a job is called by in a word: its report's id, or its own while it has none."""
    return (job.report or job.id)[:6]


def stage_title(stage: str) -> str:
    """A stage's name; of a continuation, which has a whole prompt in it, the first words."""
    word, _, prompt = stage.partition(" ")
    if word != "continuation":
        return stage
    words = " ".join(prompt.split())
    return f"{word} “{words if len(words) <= _PROMPT else words[:_PROMPT] + '…'}”"


_PROMPT = 24
"""Characters of a prompt in a title."""


def sweep_line(sweep: Sweep) -> str:
    """`12 runs: 5 finished, 1 running, 6 queued`."""
    parts = [f"{sweep.states[state]:,} {state}" for state in _BY_NEWS if sweep.count(state)]
    return f"{wording.count(sweep.size, 'run')}: {', '.join(parts)}"
