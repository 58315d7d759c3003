"""What jobs are called."""

from __future__ import annotations

from pages._ui.jobs.words import job_title
from qcore.jobs.protocol import Job, JobState
from qcore.recipe import Recipe


def test_a_continuations_job_is_called_by_its_first_words():
    prompt = "Once upon a time in a land far away there was <b>one</b>"
    job = Job("0" * 12, Recipe(), JobState.QUEUED, 0.0, ensure=f"continuation {prompt}")
    assert job_title(job).startswith("continuation “Once upon a time in a la…” of W")
    assert job_title(Job("0" * 12, Recipe(), JobState.QUEUED, 0.0, ensure="task piqa")).startswith(
        "task piqa of W"
    )
