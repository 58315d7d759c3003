"""The queue, a real worker process and the real pipeline: kill -9 in the middle of GPTQ."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from qcore.jobs.local.backend import LocalBackend
from qcore.jobs.protocol import Job, JobState
from qcore.recipe import Recipe
from qcore.report.library import Library
from tests.pipeline.factories import BLOCKS, Workshop, numbers

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, str(Path(__file__).with_name("helpers_slow_worker.py")))
SITES = 4
SUBMITTER = """
import sys, time
from pathlib import Path
from qcore.jobs.local.backend import LocalBackend
from qcore.recipe import Recipe
backend = LocalBackend(Path(sys.argv[1]), command=sys.argv[3:], devices=["cpu"])
backend.submit([Recipe.from_json(sys.argv[2])])
time.sleep(600)
"""


class Queue:
    """The backend of one workshop, whose worker rests in GPTQ when one block is done."""

    def __init__(self, shop: Workshop):
        self.shop = shop
        self.root = shop.root
        self.backend = LocalBackend(shop.root, command=COMMAND, devices=["cpu"])

    def rounded(self) -> list[int]:
        """The PID of the worker, once for every site that it began to round."""
        path = self.root / "rounded"
        return (
            [int(line.split()[0]) for line in path.read_text().splitlines()]
            if path.exists()
            else []
        )

    def resting(self, recipe: Recipe) -> int:
        """The PID of the worker that has kept one block and rests in all others."""
        wait(lambda: len(self.rounded()) > SITES and self.blocks(recipe))
        return self.rounded()[-1]

    def go(self) -> None:
        """Let workers go on."""
        (self.root / "go").touch()

    def ended(self, job: Job) -> Job:
        """The job, once it has ended."""

        def over() -> bool:
            self.backend.tick()
            return self.backend.status(job.id).state.ended

        wait(over)
        return self.backend.status(job.id)

    def blocks(self, recipe: Recipe) -> list[Path]:
        """The files of quantized blocks that are there."""
        keys = self.shop.keys(recipe)
        files = [self.shop.array(keys.block("quantize", block)) for block in range(BLOCKS)]
        return [file for file in files if file.exists()]


def wait(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def queue(shop: Workshop) -> Iterator[Queue]:
    made = Queue(shop)
    yield made
    ours = [
        found
        for found in psutil.process_iter(["cmdline"])
        if str(shop.root) in (found.info["cmdline"] or [])
    ]
    for found in ours:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.kill()
    wait(lambda: made.backend.tick() or not any(map(alive, ours)))
    made.backend.close()


def alive(process: psutil.Process) -> bool:
    """Whether it still computes; one that nobody has waited for yet does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_worker_killed_in_the_middle_of_gptq_fails_with_a_sentence_and_resumes(
    queue: Queue, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recipe = queue.shop.recipe(rounding={"method": "gptq"})
    (job,) = queue.backend.submit([recipe])
    os.kill(queue.resting(recipe), signal.SIGKILL)
    failed = queue.ended(job)
    assert failed.state is JobState.FAILED
    assert failed.message.startswith("the worker was killed")
    (first,) = queue.blocks(recipe)
    made = first.stat().st_mtime_ns
    begun = len(queue.rounded())
    queue.go()
    queue.backend.resume(job.id)
    done = queue.ended(job)
    assert done.state is JobState.FINISHED, queue.backend.logs(job.id)
    assert first.stat().st_mtime_ns == made, "the finished block is not made again"
    assert len(queue.rounded()) - begun == (BLOCKS - 1) * SITES
    other = Workshop(tmp_path_factory.mktemp("whole"), queue.shop.model, queue.shop.text)
    assert numbers(Library(queue.root).get(done.report)) == numbers(other.run(recipe))


def test_the_job_goes_on_when_the_process_that_submitted_it_is_killed(queue: Queue) -> None:
    recipe = queue.shop.recipe(rounding={"method": "gptq"})
    arguments = [str(queue.root), recipe.to_json(), *COMMAND]
    app = subprocess.Popen([sys.executable, "-c", SUBMITTER, *arguments], cwd=ROOT)
    worker = queue.resting(recipe)
    app.kill()
    app.wait()
    queue.go()
    (job,) = queue.backend.jobs()
    assert queue.ended(job).state is JobState.FINISHED
    assert set(queue.rounded()) == {worker}


def test_two_identical_submissions_at_the_same_moment_are_one_job_and_one_report(
    queue: Queue,
) -> None:
    recipe = queue.shop.recipe()

    def submit(_: int) -> str:
        backend = LocalBackend(queue.root, command=COMMAND, devices=["cpu"])
        (job,) = backend.submit([recipe])
        backend.close()
        return job.id

    with ThreadPoolExecutor(2) as both:
        first, second = both.map(submit, range(2))
    assert first == second
    (job,) = queue.backend.jobs()
    done = queue.ended(job)
    assert done.state is JobState.FINISHED, queue.backend.logs(job.id)
    assert Library(queue.root).ids() == [done.report]
