"""From a ModelRef to a network that is ready to run.

Two steps. `resolve` is cheap and says what would be loaded: digest, family, label, caveats. It
reads configs, headers and file hashes (remembered), and downloads for a Hub id. `load` reads the
weights, checks them, and returns a Network in eval mode that nothing will train.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qcore.errors import BrokenCheckpoint
from qcore.models.coexistence import refuse_foreign_kernels
from qcore.models.demo import demo_source, ensure_dequantized
from qcore.models.families import Family
from qcore.models.folder import examine
from qcore.models.hub import snapshot
from qcore.models.source import ModelSource, digest_files
from qcore.progress import Progress, silent
from qcore.recipe import ModelRef

if TYPE_CHECKING:  # `resolve` is asked before every run, and needs no torch
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Network:
    """A loaded model.

    Attributes:
        model: a causal language model; eval mode, no parameter requires a gradient.
        tokenizer: its tokenizer.
        family: what its parts are called.
        source: where it came from.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    family: Family
    source: ModelSource


def resolve(ref: ModelRef, root: Path, *, download: bool = True) -> ModelSource:
    """What `ref` means on this machine; file hashes are remembered under `root`/models.

    A Hub id is downloaded here, unless its snapshot is in the Hub's cache; with `download` off,
    the Hub is not even asked.

    Raises:
        NotDownloaded: `download` is off, and the snapshot is not on this machine.
        ModelError: and its subclasses, for anything that could not be loaded.
    """
    if ref.source == "demo":
        return demo_source(root)
    if ref.source == "folder":
        folder = Path(ref.name).expanduser().resolve()
        label, revision = folder.name, None
    else:
        folder = snapshot(ref.name, ref.revision, download=download)
        label, revision = ref.name, folder.name
    family, files = examine(folder)
    found = digest_files(files, root)
    return ModelSource(ref.source, found, folder, label, family.name, revision)


def load(
    source: ModelSource,
    root: Path,
    *,
    dtype: str = "float32",
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Network:
    """The network behind `source`, computing in `dtype` on `device`.

    Raises:
        BrokenCheckpoint: tensors are missing, do not fit the config, or hold NaN or infinities.
        ModelError: anything else that keeps it from being loaded.
    """
    refuse_foreign_kernels()
    if source.kind == "demo":
        with _quiet():
            ensure_dequantized(source, root, progress)
    family, _ = examine(source.folder)
    progress(0, 1, f"loading {source.label}")
    with _quiet():
        model = _model(source.folder, dtype)
        tokenizer = _tokenizer(source.folder)
    _check_finite(model)
    model.eval().requires_grad_(False).to(device)
    progress(1, 1, f"loaded {source.label}")
    return Network(model, tokenizer, family, source)


def _model(folder: Path, dtype: str) -> nn.Module:
    import torch
    from transformers import AutoModelForCausalLM

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    # transformers raises builtin errors of many kinds for configs that contradict themselves.
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise BrokenCheckpoint(
            f"{folder} cannot be loaded: {_first_line(error)}", remedy="check its config.json"
        ) from error
    model, told = loaded
    for what in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if told[what]:
            names = sorted(str(name) for name in told[what])
            raise BrokenCheckpoint(
                f"{len(names)} tensors are {what.partition('_')[0]}, {names[0][:80]} first",
                remedy="use weights and config.json of one checkpoint",
            )
    return model


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # The tokenizers library raises bare Exception for a file that it cannot parse.
    except Exception as error:
        raise BrokenCheckpoint(
            f"the tokenizer in {folder} cannot be loaded: {_first_line(error)}",
            remedy="download its files again",
        ) from error


def _check_finite(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            count = int((~parameter.isfinite()).sum())
            raise BrokenCheckpoint(
                f"{name} holds {count} NaN or infinite weights", remedy="download it again"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers draws bars and logs reports of its own; ours are Events and errors."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
