"""Signals that end a command: SIGTERM, SIGHUP and SIGINT each leave by an exception and say a word.

A signal that the caller chose to ignore stays ignored (`nohup` ignores SIGHUP). Python only reports
an exception that a signal raised inside a finalizer or a weakref's callback, and goes on; here it
ends the command at once: whoever sent the signal meant it. For the same reason it counts when
native code that calls Python has put an error of its own in the exception's place.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from qcore.cli import output

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""The signals that ask a command to end; Windows has no SIGHUP."""


class Stopped(BaseException):
    """A signal asked the command to end.

    No Exception, as KeyboardInterrupt is none: nobody who handles errors swallows it.
    """

    def __init__(self, number: int):
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")

    @classmethod
    def by_keyboard(cls) -> Stopped:
        """The interrupt that KeyboardInterrupt stands for."""
        return cls(signal.SIGINT)

    def __str__(self) -> str:
        return "interrupted" if self.number == signal.SIGINT else super().__str__()

    @property
    def status(self) -> int:
        """The exit status that shells use: 128 and the signal's number."""
        return 128 + self.number


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Raise `Stopped` in the main thread when one of `ENDING` arrives."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may install handlers
        return
    arrived: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    hook = sys.unraisablehook
    sys.unraisablehook = _leave_even_from_a_finalizer
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    except Exception as error:
        if arrived:
            raise Stopped(arrived[0]) from error
        raise
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def leave_at_once(number: int, frame: FrameType | None = None) -> None:
    """Say a word and end the process: the handler while the program itself is being imported."""
    stopped = Stopped(number)
    output.say(f"quantscope: {stopped} before anything was done")
    os._exit(stopped.status)


def _leave_even_from_a_finalizer(what: Any) -> None:
    if isinstance(what.exc_value, Stopped):
        output.say(f"quantscope: {what.exc_value}; finished stages are kept")
        os._exit(what.exc_value.status)
    sys.__unraisablehook__(what)
