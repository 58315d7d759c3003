"""What a command prints: results on standard output, everything else on standard error.

Standard output is the result: where it cannot be written the command has failed, and says so.
Standard error is company: where nobody can read it any more the work goes on.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from qcore.errors import DiskFull, printable

READER_LEFT = 141
"""Exit status when the reader of standard output left: 128 and SIGPIPE's number."""


def put(text: str) -> None:
    """Write a result and a line break to standard output.

    Raises:
        BrokenPipeError: its reader left.
        DiskFull: it cannot be written.
    """
    if sys.stdout is None:
        raise DiskFull("standard output is closed", remedy="send it to a file or a pipe")
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        raise
    except OSError as error:
        _discard(sys.stdout)
        raise DiskFull(
            f"standard output cannot be written: {error.strerror}",
            remedy="free some disk space or send it elsewhere; the run itself is kept",
        ) from error


def say(text: str) -> None:
    """Write a line to standard error, if anybody can read it."""
    with contextlib.suppress(OSError, AttributeError):  # closed from the start, it is None
        print("\n".join(map(printable, text.split("\n"))), file=sys.stderr, flush=True)


def finish(status: int) -> int:
    """Flush both, as the interpreter would on its way out; returns the exit status."""
    if sys.stderr is not None:
        try:
            sys.stderr.flush()
        except OSError:
            _discard(sys.stderr)
    if sys.stdout is None:
        return status
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        return READER_LEFT
    except OSError as error:
        _discard(sys.stdout)
        say(f"quantscope: standard output cannot be written: {error.strerror}")
        return status or 1
    return status


def _discard(stream: TextIO) -> None:
    """Send what is left in the stream's buffer nowhere, or leaving would fail on it again."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
