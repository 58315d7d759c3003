"""Where Quantscope keeps what it makes: one folder, private to its user.

$QUANTSCOPE_HOME, or $XDG_DATA_HOME/quantscope, or ~/.local/share/quantscope
├── cache/      records and arrays by content; may be deleted at any time
├── jobs/       the queue and each job's events and log
├── reports/    finished Reports, never evicted
├── imported/   runs from elsewhere, a folder per bundle
├── deleted/    Reports that were deleted today and may come back
├── labels.sqlite names, tags and notes of runs
├── index.jsonl what is asked of all of them; may be deleted at any time
└── models/     the demo model, dequantized
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from qcore.errors import DiskFull, InvalidRecipe


def home() -> Path:
    """The folder, made with mode 0700 if it is not there.

    Raises:
        DiskFull: it cannot be made.
    """
    given = os.environ.get("QUANTSCOPE_HOME")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    folder = Path(given).expanduser() if given else Path(data) / "quantscope"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DiskFull(
            f"Quantscope's folder {folder} cannot be made: {error.strerror}",
            remedy="set QUANTSCOPE_HOME to a folder that you can write to",
        ) from error
    return folder.resolve()


def cache_limit() -> int:
    """Limit of the cache in bytes: $QUANTSCOPE_CACHE_GB, or 20 GB.

    Raises:
        InvalidRecipe: the variable is not a positive number.
    """
    given = os.environ.get("QUANTSCOPE_CACHE_GB", "20")
    try:
        limit = float(given)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise InvalidRecipe(
            f"QUANTSCOPE_CACHE_GB is {given!r}", remedy="set it to a positive number of gigabytes"
        )
    return int(limit * 1e9)
