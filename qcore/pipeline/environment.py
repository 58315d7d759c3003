"""Where a run took place, and how running out of memory there is told."""

from __future__ import annotations

import importlib.metadata
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from qcore.errors import OutOfMemory
from qcore.pipeline.inputs import Resolved
from qcore.report.report import Environment

PACKAGES = ("torch", "transformers", "tokenizers", "lm-eval", "numpy", "numba")
"""Their versions stand in every Report."""


def environment_of(inputs: Resolved, device: str, *, alone: bool = True) -> Environment:
    """Versions, device, model and data of a run that has just ended in this process.

    Args:
        inputs: the run's.
        device: torch's name of it.
        alone: whether the process has run nothing before; if it has, its peak is not the run's.
    """
    import torch

    source = inputs.source
    return Environment(
        device=device if device == "cpu" else torch.cuda.get_device_name(device),
        model=source.label,
        model_digest=source.digest,
        family=source.family,
        data=inputs.data,
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        revision=source.revision,
        peak_bytes=_peak_bytes() if alone else None,
    )


def _peak_bytes() -> int:
    """The largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def memory_errors(device: str) -> Iterator[None]:
    """Turn every way in which memory runs out into one typed error."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"{device} has no memory left: {str(error).splitlines()[0]}",
            remedy="use shorter windows, a smaller model, or dtype bfloat16",
        ) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise OutOfMemory(
            "the machine has no memory left",
            remedy="close other programs, use a smaller model, or dtype bfloat16",
        ) from error
