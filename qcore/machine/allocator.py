"""Keep the memory of freed tensors for the next ones.

The C library maps every large block anew and gives it back when it is freed, and the system clears
each page again before it is written. Activations of a few thousand tokens are such blocks, so every
operator pays for it: a tenth of the time of a sequential capture of the demo model on two cores
(`python -m benchmarks.allocation`).
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # from malloc.h
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have this process keep what it frees, up to its peak; returns whether it will.

    For processes that run one recipe after another and end: the command line and the workers. Other
    C libraries than glibc are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(option, _LARGEST) for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
