"""The devices that this machine can compute on.

The CPU costs nothing to describe. Whether torch can use a GPU only torch knows (its build, the
driver, CUDA_VISIBLE_DEVICES), so where an NVIDIA driver is present a short-lived process asks it:
the caller neither pays for importing torch nor keeps a CUDA context open.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_ASK_TORCH = """
import json, torch
found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
print(json.dumps([[gpu.name, gpu.total_memory] for gpu in found]))
"""
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Device:
    """One device that torch can compute on.

    Attributes:
        name: as torch writes it: `cpu`, `cuda:0`.
        label: what it is called on its box, or the number of cores.
        memory_bytes: all of it, in use or not.
    """

    name: str
    label: str
    memory_bytes: int


@functools.cache
def devices() -> tuple[Device, ...]:
    """Every usable device: GPUs first, the CPU last. Looked up once per process."""
    return (*_gpus(), _cpu())


def _cpu() -> Device:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    plural = "" if cores == 1 else "s"
    label = f"{_processor()}, {cores} core{plural}"
    return Device("cpu", label, psutil.virtual_memory().total)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    except OSError:
        pass  # not Linux: the platform module is all there is
    return platform.processor() or platform.machine() or "CPU"


def _gpus() -> list[Device]:
    if not (Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi")):
        return []
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _ASK_TORCH],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=True,
        )
        found = json.loads(answer.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return []  # a driver that torch cannot use is, for us, no device
    return [Device(f"cuda:{i}", name, memory) for i, (name, memory) in enumerate(found)]
