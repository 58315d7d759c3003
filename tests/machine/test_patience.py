"""Work that never ends, and those who wait for it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from qcore.machine.patience import Patience


def test_what_the_work_returns_or_raises_reaches_whoever_waits() -> None:
    patience = Patience()
    assert patience.within(60, "a", lambda: 7) == 7
    assert patience.within(60, "a", lambda: 8) == 8, "done work is not asked for again"
    with pytest.raises(KeyError, match="why"):
        patience.within(60, "a", lambda: {}["why"])


def test_whoever_waits_for_a_pipe_without_a_writer_is_let_go(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    patience = Patience(threads=3)
    begun: list[int] = []

    def read() -> bytes:
        begun.append(threading.get_ident())
        return (tmp_path / "pipe").read_bytes()

    for _ in range(4):
        with pytest.raises(TimeoutError):
            patience.within(0.05, "pipe", read)
    assert patience.within(60, "other", lambda: "goes on") == "goes on"
    assert len(begun) == 1, "it is joined, not begun again"
    with (tmp_path / "pipe").open("wb") as writer:
        writer.write(b"at last")
    assert patience.within(60, "pipe", lambda: b"anew") in (b"at last", b"anew")


def test_no_more_threads_than_allowed_hang() -> None:
    hold = threading.Event()
    patience = Patience(threads=2)
    before = threading.active_count()
    for key in range(5):
        with pytest.raises(TimeoutError):
            patience.within(0.01, key, hold.wait)
    assert threading.active_count() == before + 2
    hold.set()
    assert patience.within(60, "after", lambda: "free") == "free"
