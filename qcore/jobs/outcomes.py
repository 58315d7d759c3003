"""How a job ended, in one sentence: what happened, and what to do."""

from __future__ import annotations

import signal
import sys

from qcore.errors import JobCancelled, QuantscopeError
from qcore.jobs.protocol import JobState

CANCELLED = "cancelled; resume it to continue from its last finished stage"
UNRECORDED = 75
"""Exit status of a worker that could not write down how its job ended."""

_RESUME = "resume it: finished stages are kept"
_ROOM = "choose fewer or shorter windows, a smaller model or bfloat16, then resume it"


def of_error(error: BaseException) -> tuple[JobState, str]:
    """The end of a job whose run raised `error`."""
    if isinstance(error, JobCancelled):
        return JobState.CANCELLED, CANCELLED
    if isinstance(error, KeyboardInterrupt):
        return JobState.CANCELLED, f"the worker was asked to stop; {_RESUME}"
    if isinstance(error, QuantscopeError):
        return JobState.FAILED, str(error)
    if _is_out_of_memory(error):
        return JobState.FAILED, f"out of memory{_detail(error)}; {_ROOM}"
    return (
        JobState.FAILED,
        f"internal error ({type(error).__name__}{_detail(error)}); "
        "this is a defect of ours: please report it with the job's log",
    )


def of_death(exit_code: int | None) -> str:
    """The end of a worker that died without a word.

    Args:
        exit_code: its status, or minus the signal that killed it; None when only its parent, which
            is gone, could have known.
    """
    if exit_code is None:
        return f"the worker process is gone: killed, or the machine was restarted; {_RESUME}"
    if exit_code == -signal.SIGKILL:
        return f"the worker was killed, most likely because memory ran out; {_ROOM}"
    if exit_code < 0:
        return f"the worker died of {_signal_name(-exit_code)}; see its log, then {_RESUME}"
    if exit_code == UNRECORDED:
        return f"the worker could not write its outcome to disk; free some space, then {_RESUME}"
    return f"the worker ended with exit status {exit_code}; see its log, then {_RESUME}"


def of_silence(seconds: float) -> str:
    """The end of a worker in another container or boot, which stopped giving signs of life."""
    return f"the worker, started elsewhere, has been silent for {seconds:.0f} s; {_RESUME}"


def of_refusal(error: OSError) -> str:
    """The end of a job whose worker could not be started."""
    return f"no worker could be started: {error.strerror or error}; free some memory, then resume"


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")  # a run without torch cannot have raised torch's error
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "not enough memory" in text
    )


def _detail(error: BaseException) -> str:
    """The first line of the error's own text, shortened."""
    lines = str(error).strip().splitlines()
    return f": {lines[0][:160]}" if lines else ""


def _signal_name(number: int) -> str:
    try:
        return f"signal {signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"
