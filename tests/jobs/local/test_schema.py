"""The queue's file: older versions are brought up to date, newer and foreign ones left alone."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qcore.errors import JobError
from qcore.jobs.local import schema
from qcore.jobs.local.table import Table
from qcore.jobs.protocol import JobState
from qcore.recipe import Recipe
from tests.spoilt_databases import HEADERS, NO_TEXT, rename_to_no_text, spoil_header

ROOT = Path(__file__).parents[3]
YESTERDAY = ROOT / "tests" / "house" / "yesterday" / "jobs" / "queue.sql"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.sqlite"


@pytest.fixture
def old(path: Path) -> Path:
    """A queue of version 1 with three jobs."""
    edit(path, YESTERDAY.read_text(encoding="utf-8"))
    return path


@pytest.fixture
def table(path: Path) -> Iterator[Table]:
    made = Table(path)
    yield made
    made.close()


def edit(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(script)


def content(path: Path) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM job").fetchall()


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def test_a_queue_of_version_1_keeps_its_jobs_and_takes_requests(old: Path, table: Table) -> None:
    assert version(old) == 1
    jobs = table.jobs(10)
    assert [job.ensure for job in jobs] == ["", "", ""]
    assert {job.state for job in jobs} == {JobState.FINISHED, JobState.FAILED}
    recipe = Recipe()
    ids = table.add([recipe]) + table.add([recipe], "capture") + table.add([recipe], "capture")
    assert len(set(ids)) == 2
    table.close()
    assert version(old) == schema.VERSION


def test_an_old_queue_and_a_new_one_have_the_same_schema(old: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.sqlite"
    found = []
    for path in (old, fresh):
        table = Table(path)
        table.waiting()
        columns = {row["name"]: row["type"] for row in table.read("PRAGMA table_info(job)")}
        names = {row["name"] for row in table.read("PRAGMA index_list(job)")}
        found.append((columns, names))
        table.close()
    assert found[0] == found[1]


def test_processes_that_open_an_old_queue_at_once_update_it_once(old: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from qcore.jobs.local.table import Table\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(len(Table(Path(sys.argv[1])).jobs(9)))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(old)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    assert [process.communicate("\n")[0] for process in started] == ["3\n"] * 3


def test_an_update_that_is_interrupted_changes_nothing(
    old: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(old)
    broken = {1: (*schema._FROM[1], "CREATE NONSENSE")}
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_FROM", broken)
        with pytest.raises(sqlite3.OperationalError):
            table.jobs(9)
    assert (version(old), content(old)) == (1, before)
    assert len(table.jobs(9)) == 3


def test_a_queue_of_a_newer_version_is_left_as_it_is_with_a_remedy(
    path: Path, table: Table
) -> None:
    table.add([Recipe()])
    table.close()
    edit(path, "PRAGMA user_version = 9; ALTER TABLE job RENAME COLUMN queued TO hologram;")
    before = content(path)
    for use in (lambda: table.jobs(9), table.running, lambda: table.add([Recipe(seed=1)])):
        with pytest.raises(JobError, match=f"and this one reads {schema.VERSION}; update"):
            use()
    table.close()
    assert (version(path), content(path)) == (9, before)


def test_renamed_columns_are_a_sentence(path: Path, table: Table) -> None:
    table.add([Recipe()])
    table.close()
    edit(path, "ALTER TABLE job RENAME COLUMN device TO gadget")
    with pytest.raises(JobError, match=r"lacks the columns device; move the file away"):
        table.jobs(9)
    edit(path, "DROP TABLE job")
    with pytest.raises(JobError, match=r"lacks the columns seq, id, digest"):
        table.jobs(9)


def test_columns_that_are_renamed_while_the_queue_is_open_are_a_sentence(
    path: Path, table: Table
) -> None:
    table.add([Recipe()])
    edit(path, "ALTER TABLE job RENAME COLUMN device TO gadget")
    for use in (lambda: table.jobs(9), table.running):
        with pytest.raises(JobError, match="restart Quantscope"):
            use()


@pytest.mark.parametrize("column", ["created", "attempt", "done", "recipe", "state"])
def test_a_poisoned_row_is_left_out(path: Path, table: Table, column: str) -> None:
    good, bad = table.add([Recipe(), Recipe(seed=1)])
    edit(path, f"UPDATE job SET {column} = 'x' WHERE id = '{bad}'")
    assert [job.id for job in table.jobs(9)] == [good]
    with pytest.raises(JobError, match="another version"):
        table.job(bad)


@pytest.mark.parametrize("column", ["message", "recipe", "state", "sweep", "id", "device"])
def test_bytes_that_are_no_text_cost_no_other_row(path: Path, table: Table, column: str) -> None:
    good, bad = table.add([Recipe(), Recipe(seed=1)])
    edit(path, f"UPDATE job SET {column} = {NO_TEXT} WHERE id = '{bad}'")
    assert good in [job.id for job in table.jobs(9)]
    table.add([Recipe(seed=2)])


@pytest.mark.parametrize("how", HEADERS)
def test_a_spoilt_header_is_damage_and_no_full_disk(path: Path, table: Table, how: str) -> None:
    table.add([Recipe()])
    table.close()
    spoil_header(path, how)
    with pytest.raises(JobError, match=r"is damaged: .*; move the file away"):
        table.add([Recipe(seed=1)])


def test_a_schema_that_is_no_text_is_damage(path: Path, table: Table) -> None:
    table.add([Recipe()])
    table.close()
    rename_to_no_text(path, "job")
    with pytest.raises(JobError, match=r"is damaged: .*; move the file away"):
        table.jobs(9)


def test_a_queue_that_others_taught_to_refuse_is_a_sentence(path: Path, table: Table) -> None:
    table.add([Recipe()])
    edit(path, "CREATE TRIGGER t AFTER INSERT ON job BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(JobError, match="is not what this version writes: no; restart"):
        table.add([Recipe(seed=1)])


def test_a_queue_of_version_2_gets_names_and_keeps_its_jobs(old: Path, table: Table) -> None:
    edit(
        old,
        "ALTER TABLE job ADD COLUMN ensure TEXT NOT NULL DEFAULT '';"
        "DROP INDEX IF EXISTS one_live_job_per_recipe; PRAGMA user_version = 2;",
    )
    before = [row[:3] for row in content(old)]
    assert len(table.jobs(10)) == 3
    assert version(old) == schema.VERSION
    assert [row[:3] for row in content(old)] == before
    table.add([Recipe(seed=901), Recipe(seed=902)], name="Named")
