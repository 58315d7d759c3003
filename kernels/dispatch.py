"""Dispatch: which implementation of an operation runs, and why.

Every operation has a torch reference, which runs anywhere and is the truth. Beside it may stand a
*compiled* twin for the CPU (numba) and a *triton* twin for the GPU. An operation says which twins
it has, and for each what keeps it from this very call, if anything; `choose` does the rest:

1. the implementation that the caller names, or an error that says why it cannot run;
2. the one twin that the environment variable QUANTSCOPE_KERNELS allows (`torch` allows none);
3. the twin of the tensor's device: compiled for the CPU, triton for a GPU that triton can serve;
4. torch.

On the CPU a triton twin runs in triton's interpreter (TRITON_INTERPRET=1 before triton's first
import), thousands of times slower: for tests, and only where 1 or 2 name it.

`record_choices` counts what ran, over all threads of the process: a Report shows it.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from qcore.errors import KernelError

Implementation = Literal["torch", "compiled", "triton"]
Twin = Literal["compiled", "triton"]

SWITCH = "QUANTSCOPE_KERNELS"
"""Environment variable: `torch`, or the only twin that may serve beside torch."""

TRITON_CAPABILITY = (8, 0)
"""The oldest NVIDIA compute capability that triton supports."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The implementation that runs, and in a few words why this one."""

    implementation: Implementation
    why: str


@dataclass(frozen=True, slots=True)
class DispatchCount:
    """How often one implementation of an operation ran, for one reason."""

    operation: str
    implementation: Implementation
    why: str
    count: int


class ChoiceRecord:
    """The choices made since `record_choices` was entered; threads may read it meanwhile."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, Choice]] = Counter()
        self._lock = threading.Lock()

    def add(self, operation: str, choice: Choice) -> None:
        """Count one call."""
        with self._lock:
            self._counts[operation, choice] += 1

    def counts(self) -> list[DispatchCount]:
        """All that ran, by operation; of one operation the most frequent first."""
        with self._lock:
            counted = list(self._counts.items())
        found = [
            DispatchCount(name, choice.implementation, choice.why, n)
            for (name, choice), n in counted
        ]
        return sorted(
            found, key=lambda item: (item.operation, -item.count, item.implementation, item.why)
        )


_records: tuple[ChoiceRecord, ...] = ()
_records_lock = threading.Lock()


@contextmanager
def record_choices() -> Iterator[ChoiceRecord]:
    """Count which implementations run, in every thread, while the block runs.

    >>> with record_choices() as record:
    ...     _ = choose("example", torch.device("cpu"), {})
    >>> record.counts()
    [DispatchCount(operation='example', implementation='torch', why='no twin for cpu', count=1)]
    """
    global _records
    record = ChoiceRecord()
    with _records_lock:
        _records = (*_records, record)
    try:
        yield record
    finally:
        with _records_lock:
            _records = tuple(each for each in _records if each is not record)


def choose(
    operation: str,
    device: torch.device,
    twins: Mapping[Twin, str | None],
    *,
    implementation: Implementation | None = None,
) -> Choice:
    """Choose the implementation for a call on `device`, and count the call.

    Args:
        operation: its public name, for the record.
        device: where the operation's tensors lie.
        twins: the twins that exist, each with what keeps it from serving this call, or None:
            `{"compiled": None, "triton": "float64 has no twin"}`.
        implementation: the one that the caller wants and no other; None leaves the choice.

    Raises:
        KernelError: `implementation` cannot serve, or QUANTSCOPE_KERNELS holds no known name.
    """
    choice = _choice(operation, device, twins, implementation)
    for record in _records:
        record.add(operation, choice)
    return choice


def differentiates(*tensors: Tensor | None) -> bool:
    """Whether autograd follows what is done to these tensors."""
    return torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in tensors
    )


def _choice(
    operation: str,
    device: torch.device,
    twins: Mapping[Twin, str | None],
    implementation: Implementation | None,
) -> Choice:
    if implementation is not None:
        if implementation != "torch" and (against := _against(implementation, device, twins)):
            raise KernelError(
                f"{operation} cannot run {implementation} on {device}: {against}",
                remedy="leave the choice open, or take torch",
            )
        return Choice(implementation, "asked for")
    only = _switch()
    if only == "torch":
        return Choice("torch", f"{SWITCH}=torch")
    twin: Twin = only or ("compiled" if device.type == "cpu" else "triton")
    if not only and twin not in twins:
        return Choice("torch", f"no twin for {device.type}")
    against = _against(twin, device, twins)
    if against:
        return Choice("torch", against)
    return Choice(twin, f"{SWITCH}={only}" if only else f"the twin for {device.type}")


def _against(twin: Twin, device: torch.device, twins: Mapping[Twin, str | None]) -> str | None:
    """The reason why a twin cannot run; None where there is none."""
    if twin not in twins:
        return f"no {twin} twin"
    if twin == "compiled":
        return twins[twin] if device.type == "cpu" else f"{device.type} is not the CPU"
    return _against_triton(device) or twins[twin]


def _switch() -> Implementation | None:
    value = os.environ.get(SWITCH)
    if not value:
        return None
    for name in get_args(Implementation):
        if value == name:
            return name
    raise KernelError(
        f"{SWITCH}={value} names no implementation",
        remedy=f"unset it or choose {', '.join(get_args(Implementation))}",
    )


@functools.cache
def _against_triton(device: torch.device) -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if interpreted():
        return None
    if device.type != "cuda":  # torch calls AMD's devices cuda, too
        return f"triton cannot run on {device.type} outside its interpreter"
    if torch.version.hip is None:
        capability = torch.cuda.get_device_capability(device)
        if capability < TRITON_CAPABILITY:
            have, need = (".".join(map(str, each)) for each in (capability, TRITON_CAPABILITY))
            return f"compute capability {have} is older than triton's {need}"
    return None


@functools.cache
def interpreted() -> bool:
    """Whether triton, which must be installed, runs its kernels in its interpreter."""
    from triton import knobs  # half a second, and not on every machine

    return bool(knobs.runtime.interpret)
