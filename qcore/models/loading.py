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

from cache.digest import digest
from qcore.errors import BrokenCheckpoint
from qcore.models.coexistence import refuse_foreign_kernels
from qcore.models.config import plain_config, resets_frequencies
from qcore.models.demo import demo_source, ensure_dequantized
from qcore.models.expected import sizes_of
from qcore.models.family import Family
from qcore.models.files import printable, real_path
from qcore.models.folder import Checkpoint, checkpoint_errors, examine
from qcore.models.hub import snapshot
from qcore.models.source import ModelSource, digest_files, stamp
from qcore.models.stateless import forget_between_calls
from qcore.models.view import view
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
        files: what it was loaded from; weights may be mapped from there as long as it is in use.
        seen: their `stamp` when they were loaded.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    family: Family
    source: ModelSource
    files: tuple[Path, ...] = ()
    seen: tuple[tuple[int, ...], ...] = ()

    @property
    def words(self) -> int:
        """Tokens that the network has an embedding for."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    def require_unchanged(self) -> None:
        """Refuse to go on when a file was written to since the network was loaded.

        Raises:
            BrokenCheckpoint: it was.
        """
        if stamp(self.files) != self.seen:
            raise _other_files(self.source.folder)


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
        folder = real_path(ref.name, remedy="name a folder with config.json and *.safetensors")
        label, revision = printable(folder.name), None
    else:
        folder = snapshot(ref.name, ref.revision, download=download)
        label, revision = ref.name, folder.name
    found = examine(folder)
    with checkpoint_errors(folder):
        plain_config(found.config)
        sizes = sizes_of(found.config) or {}
    return ModelSource(
        ref.source,
        digest_of(found, root),
        folder,
        label,
        found.family.name,
        revision,
        found.notes,
        sizes.get("max_position_embeddings"),
    )


def digest_of(checkpoint: Checkpoint, root: Path) -> str:
    """The name of what a checkpoint computes: the digest of its files, with few exceptions.

    Networks whose frequencies were kept between calls by earlier versions have another name now,
    so that nothing is served that was computed then.
    """
    found = digest_files(checkpoint.files, root)
    if resets_frequencies(checkpoint.config):
        return digest({"files": found, "frequencies": "anew in every call"})
    return found


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
        BrokenCheckpoint: tensors are missing, do not fit the config, or hold NaN or infinities;
            the files are not those any more that `source` names; or the network cannot be run.
        ModelError: anything else that keeps it from being loaded.
    """
    refuse_foreign_kernels()
    if source.kind == "demo":
        with _quiet():
            ensure_dequantized(source, root, progress)
    found = examine(source.folder)
    before = stamp(found.files)
    if source.kind != "demo" and digest_of(found, root) != source.digest:
        raise _other_files(source.folder)
    progress(0, 1, f"loading {source.label}")
    with _quiet(), checkpoint_errors(source.folder, "be loaded"), view(found) as folder:
        model = _model(folder, dtype, found.family)
        tokenizer = _tokenizer(folder, source.folder)
        _check_finite(model)
        model.eval().requires_grad_(False).to(device)
        forget_between_calls(model)
        _check_runs(model)
    network = Network(model, tokenizer, found.family, source, found.files, before)
    network.require_unchanged()
    progress(1, 1, f"loaded {source.label}")
    return network


def _model(folder: Path, dtype: str, family: Family) -> nn.Module:
    import torch
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=getattr(torch, dtype),
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
        attn_implementation=family.attention,  # a config could name a kernel to be fetched
    )
    model, told = loaded
    for what in ("missing_keys", "mismatched_keys"):
        if told[what]:
            names = sorted(str(name) for name in told[what])
            raise BrokenCheckpoint(
                f"{len(names)} tensors are {what.partition('_')[0]}, {names[0][:80]} first",
                remedy="use weights and config.json of one checkpoint",
            )
    return model


def _tokenizer(folder: Path, named: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # The tokenizers library raises bare Exception for a file that it cannot parse.
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise BrokenCheckpoint(
            f"the tokenizer in {printable(str(named))} cannot be loaded: {printable(lines[0])}",
            remedy="download its files again",
        ) from error


def _check_finite(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            count = int((~parameter.isfinite()).sum())
            raise BrokenCheckpoint(
                f"{name} holds {count} NaN or infinite weights", remedy="download it again"
            )


def _check_runs(model: Any) -> None:
    """Read two tokens, and ask for the angles of a place beyond the network's length.

    A configuration that contradicts itself may be noticed only there, in the middle of a run.
    """
    import torch

    tokens = torch.zeros((1, 2), dtype=torch.int64, device=model.device)
    with torch.no_grad():
        hidden = model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
        beyond = tokens[:, :1] + model.config.max_position_embeddings
        angles = model.base_model.rotary_emb
        for kind in getattr(angles, "layer_types", None) or (None,):
            angles(hidden, beyond, **({} if kind is None else {"layer_type": kind}))
    if not bool(hidden.isfinite().all()):
        raise BrokenCheckpoint(
            "two tokens give hidden states that are not finite", remedy="check its config.json"
        )


def _other_files(folder: Path) -> BrokenCheckpoint:
    return BrokenCheckpoint(
        f"the files in {printable(str(folder))} changed after the run had begun",
        remedy="run it again once they are complete",
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
