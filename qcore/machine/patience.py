"""Wait so long and no longer for work that may never end.

A file on a share whose server is gone, or on a broken disk, keeps whoever opens it inside the
system for as long as that lasts: nothing can interrupt it, not even a signal. So such work is done
by threads of its own, and the caller waits for a while. What is not done by then goes on; whoever
asks for the same work again joins it instead of starting it twice. Threads are few, and none keeps
the program from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

THREADS = 16
"""So many pieces of work may hang at once; later ones wait for a thread, and are given up alike."""


class Patience:
    """Threads for work that may never end; safe to share."""

    def __init__(self, threads: int = THREADS):
        self._limit = threads
        self._lock = threading.Lock()
        self._todo: SimpleQueue[tuple[Hashable, Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._asked: dict[Hashable, Future[Any]] = {}
        self._threads = 0

    def within(self, seconds: float, key: Hashable, work: Callable[[], T]) -> T:
        """What `work` returns or raises.

        Args:
            seconds: to wait at most.
            key: names the work: of two calls with one key at the same time, one does it.
            work: called in another thread.

        Raises:
            TimeoutError: it is not done yet; it goes on.
        """
        with self._lock:
            future = self._asked.get(key)
            if future is None:
                future = self._asked[key] = Future()
                self._todo.put((key, future, work))
                if self._threads < min(len(self._asked), self._limit):
                    self._threads += 1
                    threading.Thread(target=self._serve, name="patience", daemon=True).start()
        return future.result(seconds)

    def _serve(self) -> None:
        while True:
            key, future, work = self._todo.get()
            outcome = _attempt(work)
            with self._lock:
                del self._asked[key]  # before anyone hears of the end: a later call asks anew
            if isinstance(outcome, _Raised):
                future.set_exception(outcome.error)
            else:
                future.set_result(outcome)
            del future, work, outcome


@dataclass(frozen=True, slots=True)
class _Raised:
    error: BaseException


def _attempt(work: Callable[[], T]) -> T | _Raised:
    try:
        return work()
    except BaseException as error:
        return _Raised(error)
