"""Which devices can be leased, found without importing torch (which takes seconds).

A GPU counts when the driver's management library reports it and the installed torch was built for
CUDA, which torch's own `version.py` says in plain text.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import re
from pathlib import Path


@functools.cache
def leases() -> tuple[str, ...]:
    """One lease per device: `cuda:0`, `cuda:1`, … where there are GPUs, else `cpu`.

    A machine with GPUs lends no `cpu`: a job would take many times as long there, and slow down
    the others' calibration.
    """
    count = _visible(_gpus()) if _torch_has_cuda() else 0
    return tuple(f"cuda:{index}" for index in range(count)) or ("cpu",)


def threads(devices: int) -> dict[str, str]:
    """Environment that shares the cores among `devices` workers; one alone decides by itself."""
    if devices < 2 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // devices))}


def _torch_has_cuda() -> bool:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^cuda\b[^=\n]*=\s*['\"]", text, re.MULTILINE) is not None


def _gpus() -> int:
    """GPUs that NVIDIA's management library reports."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return 0
    if nvml.nvmlInit_v2() != 0:
        return 0
    count = ctypes.c_uint(0)
    status = nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    nvml.nvmlShutdown()
    return count.value if status == 0 else 0


def _visible(count: int) -> int:
    """How many of `count` GPUs CUDA_VISIBLE_DEVICES leaves; CUDA stops at the first bad entry."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return count
    seen = 0
    for entry in (part.strip() for part in chosen.split(",")):
        if not (entry.startswith(("GPU-", "MIG-")) or (entry.isdigit() and int(entry) < count)):
            break
        seen += 1
    return min(seen, count)
