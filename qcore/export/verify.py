"""Ask the gate about a written folder, and put its answer into verdicts.

The gate runs in a process of its own, with a Python that has the reader's packages: this one, or
that of `make verify`. Where none has them the folder is said to be unverified, never exact.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from qcore.errors import ExportError, printable
from qcore.export.proof import PROOF
from qcore.export.verdict import Verdict

GATE = Path(__file__).with_name("gate.py")
READER = "QUANTSCOPE_READER"
"""Environment variable: the Python that has the readers' packages."""

INSTALLED = Path(__file__).parents[2] / ".venv-verify" / "bin" / "python"
"""What `make verify` makes."""

TOLERANCE = 5e-3
"""Largest difference of a log-probability, in nats, at which two forwards are the same: they sum in
another order, and in half precision round in between."""


def verify(folder: Path, *, timeout: float = 3600) -> list[Verdict]:
    """What transformers makes of a compressed-tensors folder, read by the library's own code.

    Args:
        folder: as `export_run` leaves it.
        timeout: seconds that the reader may take.

    Raises:
        ExportError: no export of ours, or one whose tensors are not what was promised.
    """
    require_export(folder)
    answer = ask(folder, timeout)
    if answer is None:
        return [
            Verdict(
                "transformers",
                "unverified",
                "compressed-tensors is not installed here; make verify installs the readers",
            )
        ]
    return [_transformers(answer)]


def require_export(folder: Path) -> dict[str, Any]:
    """The proof that stands in an exported folder.

    Raises:
        ExportError: there is none.
    """
    try:
        return json.loads((folder / PROOF).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{printable(str(folder))} has no readable {PROOF}",
            remedy="name a folder that python -m qcore export wrote",
        ) from error


def ask(folder: Path, timeout: float) -> dict[str, Any] | None:
    """The gate's answer; None where no Python with the reader's packages is at hand.

    Raises:
        ExportError: the gate ended without an answer.
    """
    python = _reader()
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    probe = [python, "-I", "-c", "import compressed_tensors"]
    if subprocess.run(probe, capture_output=True, check=False, env=quiet).returncode:
        return None
    try:
        done = subprocess.run(
            [python, "-I", str(GATE), str(folder)],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=quiet,
            cwd=folder,
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(
            f"the reader gave no answer within {timeout:.0f} s",
            remedy="verify it again on a quieter machine",
        ) from error
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise ExportError(
            f"the reader failed: {last}", remedy="do not serve this folder; export it again"
        ) from error


def _reader() -> str:
    """The Python that has the readers' packages, if any has."""
    made = INSTALLED if INSTALLED.is_file() else Path(sys.executable)
    return os.environ.get(READER) or str(made)


def _transformers(answer: dict[str, Any]) -> Verdict:
    """The verdict on transformers.

    Raises:
        ExportError: a tensor is not what was promised, or the logits are others.
    """
    tensors, routes = answer["tensors"], answer["routes"]
    for what in ("different", "missing", "unexpected"):
        if tensors[what]:
            raise ExportError(
                f"{len(tensors[what])} tensors are {what} when compressed-tensors reads them, "
                f"{tensors[what][0]} first",
                remedy="do not serve this folder; export it again",
            )
    with_ = ", ".join(f"{name} {number}" for name, number in answer["versions"].items())
    read = f"{tensors['read']} tensors equal ours to the bit"
    default, other = routes["default"], routes["dequantized"]
    if default["loads"] and default["difference"] <= TOLERANCE:
        return Verdict(
            "transformers",
            "exact",
            f"{read}; log-probabilities within {default['difference']:.1e} nats ({with_})",
        )
    if default["loads"]:
        raise ExportError(
            f"{read}, but log-probabilities are off by {default['difference']:.3g} nats",
            remedy="do not serve this folder through transformers",
        )
    if other["loads"] and other["difference"] <= TOLERANCE:
        return Verdict(
            "transformers",
            "exact",
            f"{read}; loads with CompressedTensorsConfig(dequantize=True) only, log-probabilities "
            f"then within {other['difference']:.1e} nats ({with_})",
        )
    return Verdict("transformers", "unverified", f"{read}; it does not load: {default['why']}")
