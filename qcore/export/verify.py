"""Ask the gates about a written folder, and put its answer into verdicts.

A gate (`gate`, `gguf.gate`) runs in a process of its own, with a Python that has the readers'
packages: this one, or that of `make verify`. Where none has them the folder is said to be
unverified, never exact.
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
GGUF_GATE = Path(__file__).parent / "gguf" / "gate.py"
READER = "QUANTSCOPE_READER"
"""Environment variable: the Python that has the readers' packages."""

INSTALLED = Path(__file__).parents[2] / ".venv-verify" / "bin" / "python"
"""What `make verify` makes."""

TOLERANCE = 5e-3
"""Largest difference of a log-probability, in nats, at which two forwards are the same: they sum in
another order, and in half precision round in between."""


KL_BAND = 0.02
"""Largest mean KL divergence, in nats per token, at which llama.cpp has run the same network: it
rounds every linear's input to 8 bits."""


def verify(folder: Path, *, timeout: float = 3600) -> list[Verdict]:
    """What its readers make of an exported folder, by their own code.

    Args:
        folder: as `export_run` leaves it.
        timeout: seconds that the readers may take.

    Raises:
        ExportError: no export of ours, or one whose tensors are not what was promised.
    """
    proof = require_export(folder)
    gguf = proof.get("layout") == "gguf"
    answer = ask(folder, timeout, gguf=gguf)
    if answer is None:
        package = "gguf" if gguf else "compressed-tensors"
        why = f"{package} is not installed here; make verify installs the readers"
        targets = ["llama.cpp"] if gguf else ["transformers"]
        return [Verdict(target, "unverified", why) for target in targets]
    _require_promised(answer["tensors"], proof)
    return _of_gguf(answer) if gguf else [_transformers(answer)]


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


def ask(folder: Path, timeout: float, *, gguf: bool = False) -> dict[str, Any] | None:
    """The gate's answer; None where no Python with the reader's packages is at hand.

    Raises:
        ExportError: the gate ended without an answer.
    """
    python = _reader()
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    needed = "gguf" if gguf else "compressed_tensors"
    probe = [python, "-I", "-c", f"import {needed}"]
    if subprocess.run(probe, capture_output=True, check=False, env=quiet).returncode:
        return None
    try:
        done = subprocess.run(
            [python, "-I", str(GGUF_GATE if gguf else GATE), str(folder)],
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


def _require_promised(tensors: dict[str, Any], proof: dict[str, Any]) -> None:
    """Refuse files whose tensors are not what was promised.

    Raises:
        ExportError: names the first.
    """
    for what in ("different", "missing", "unexpected"):
        if tensors[what]:
            raise ExportError(
                f"{len(tensors[what])} tensors are {what} when the reader's own code reads them, "
                f"{tensors[what][0]} first",
                remedy="do not serve this folder; export it again",
            )
    if tensors["bytes"] != proof["bytes"]:
        raise ExportError(
            f"the tensors take {tensors['bytes']} bytes, and {proof['bytes']} were promised",
            remedy="do not serve this folder; export it again",
        )


def _of_gguf(answer: dict[str, Any]) -> list[Verdict]:
    """The verdicts on transformers, which reads GGUF by dequantizing it, and on llama.cpp.

    Raises:
        ExportError: other log-probabilities, other tokens, or a network beyond the band.
    """
    with_ = ", ".join(f"{name} {number}" for name, number in answer["versions"].items())
    read = f"{answer['tensors']['read']} tensors equal ours to the bit through gguf's own code"
    off = answer["difference"]
    if off > TOLERANCE:
        raise ExportError(
            f"{read}, but log-probabilities are off by {off:.3g} nats",
            remedy="do not serve this file",
        )
    first = Verdict(
        "transformers", "exact", f"{read}; log-probabilities within {off:.1e} nats ({with_})"
    )
    other = answer["llama_cpp"]
    if other is None:
        why = f"{read}; llama.cpp is not installed here; make verify installs it"
        return [first, Verdict("llama.cpp", "unverified", why)]
    if not other["loads"]:
        raise ExportError(
            f"llama.cpp does not load it: {other['why']}", remedy="do not serve this file"
        )
    if other["other_tokens"]:
        raise ExportError(
            f"llama.cpp cuts {len(other['other_tokens'])} texts into other tokens, "
            f"{other['other_tokens'][0]!r} first",
            remedy="do not serve this file",
        )
    if not other["kl"] <= KL_BAND:
        raise ExportError(
            f"llama.cpp's distributions are {other['kl']:.3g} nats per token from ours, more than "
            f"{KL_BAND:g}",
            remedy="do not serve this file",
        )
    why = (
        f"{read}; llama.cpp's distributions are {other['kl']:.1e} nats per token from ours over "
        f"{other['positions']} positions (it rounds inputs to 8 bits; band {KL_BAND:g})"
    )
    return [first, Verdict("llama.cpp", "smoke-tested", why)]


def _transformers(answer: dict[str, Any]) -> Verdict:
    """The verdict on transformers.

    Raises:
        ExportError: the logits are others.
    """
    tensors, routes = answer["tensors"], answer["routes"]
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
