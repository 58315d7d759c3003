"""Which devices jobs may lease, and how the workers on them share the machine."""

from __future__ import annotations

import os
from collections.abc import Sequence

from qcore.machine.devices import devices

VARIABLE = "QUANTSCOPE_LEASES"
"""Names the leases outright, such as `cuda:0,cuda:1`. Workers inherit it, so that only the first
dispatcher pays for asking torch."""


def leases() -> tuple[str, ...]:
    """One lease per device: `cuda:0`, `cuda:1`, … where torch sees GPUs, else `cpu`.

    A machine with GPUs lends no `cpu`: a job would take many times as long there, and slow down
    the others.
    """
    given = tuple(name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip())
    names = [device.name for device in devices()] if not given else []
    return given or tuple(name for name in names if name.startswith("cuda")) or ("cpu",)


def environment(names: Sequence[str]) -> dict[str, str]:
    """Environment of a worker: its leases, and its share of the cores when there are several."""
    shared = {VARIABLE: ",".join(names)}
    if len(names) > 1 and "OMP_NUM_THREADS" not in os.environ:
        shared["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // len(names)))
    return shared
