"""Fair timing on a GPU, shared by the benchmarks named `gpu_*`.

CUDA events around each call, contenders in turn, the least of the repeats. Before each call the L2
cache is overwritten, so that tensors come from memory as they do inside a network. A kernel bound
by memory is compared with copying a tensor of the same size in the same run (`copy`): the share of
that bandwidth it reaches. Without a GPU a benchmark says so and exits with status 2; tests run the
same code at toy size in triton's interpreter, where times mean nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping

import torch

FLUSH_BYTES = 256 << 20
"""More than any L2 cache."""

BYTES = 256 << 20
"""Least size of a tensor that a memory-bound kernel is measured on."""

NO_GPU = "No CUDA device here: nothing was measured."


def require_gpu() -> torch.device:
    """The device to measure on; ends the program where there is none."""
    if not torch.cuda.is_available():
        print(NO_GPU)
        sys.exit(2)
    return torch.device("cuda")


def fewest_seconds(
    contenders: Mapping[str, Callable[[], object]], device: torch.device, *, repeats: int = 20
) -> dict[str, float]:
    """Fewest seconds of each contender over `repeats` rounds, after three unmeasured ones."""
    timed = _timed_on_gpu if device.type == "cuda" else _timed_on_cpu
    best = dict.fromkeys(contenders, float("inf"))
    for round_ in range(-3 if device.type == "cuda" else 0, repeats):
        for name, run in contenders.items():
            taken = timed(run)
            if round_ >= 0:
                best[name] = min(best[name], taken)
    return best


def _timed_on_gpu(run: Callable[[], object]) -> float:
    torch.empty(FLUSH_BYTES, dtype=torch.int8, device="cuda").zero_()
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop) / 1000


def _timed_on_cpu(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start
