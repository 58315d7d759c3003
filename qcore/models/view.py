"""What a loader gets to see of a checkpoint: a folder with the examined files and nothing else.

Loaders look for more than they are told: adapters, settings for generating text, other versions of
a file, a kernel to fetch. None of that is part of the digest, so none of it is within their reach.
"""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qcore.errors import DiskFull
from qcore.models.config import plain_config
from qcore.models.folder import SINGLE, Checkpoint
from qcore.models.headers import read_headers
from qcore.models.source import CONFIG, INDEX, TOKENIZER_FILES
from qcore.models.tokenizers import TOKENIZER_CONFIG, tokenizer_settings


@contextmanager
def view(checkpoint: Checkpoint) -> Iterator[Path]:
    """A folder for a loader that holds the examined files and nothing else.

    Tokenizer and weight files are links to the real ones. Two are written anew without what could
    lead to other files: config.json with what decides the network (`plain_config`), and
    tokenizer_config.json without the names of files. So is the index, since loaders prefer a file
    called model.safetensors to any index.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="quantscope-") as place:
            folder = Path(place)
            config = plain_config(checkpoint.config)
            (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
            tokenizer = {p.name: p for p in checkpoint.files if p.name in TOKENIZER_FILES}
            settings = tokenizer_settings(checkpoint.config, tokenizer)
            if settings:
                (folder / TOKENIZER_CONFIG).write_text(json.dumps(settings), encoding="utf-8")
            for name in tokenizer.keys() - {TOKENIZER_CONFIG}:
                (folder / name).symlink_to(tokenizer[name].resolve())
            _link_weights(folder, checkpoint.weights)
            yield folder
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            f"no folder could be made in {tempfile.gettempdir()}: {error.strerror}",
            remedy="free some disk space, or set TMPDIR to another disk",
        ) from error


def _link_weights(folder: Path, weights: tuple[Path, ...]) -> None:
    if len(weights) == 1:
        (folder / SINGLE).symlink_to(weights[0].resolve())
        return
    shards = {f"model-{number:05}.safetensors": path for number, path in enumerate(weights, 1)}
    for name, path in shards.items():
        (folder / name).symlink_to(path.resolve())
    where = {stored: name for name, path in shards.items() for stored in read_headers([path])}
    index = {"metadata": {}, "weight_map": where}
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
