"""A model from the Hugging Face Hub: a snapshot of one commit, weights as safetensors only.

Pickled files are not even downloaded. Without a network a snapshot that is in the Hub's cache is
used; if there is none it fails at once.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path

from qcore.errors import DiskFull, ModelError, NotDownloaded
from qcore.models.files import printable
from qcore.models.source import CONFIG, INDEX, TOKENIZER_FILES

ALLOWED = (CONFIG, INDEX, "generation_config.json", "*.safetensors", *TOKENIZER_FILES)

_SECONDS = 5.0

_REVISION = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_./+-]{0,199}")
"""What names a revision; it becomes a part of paths in the Hub's cache."""


def snapshot(
    name: str, revision: str | None, cache: Path | None = None, *, download: bool = True
) -> Path:
    """The folder of the snapshot of `name` at `revision`; its name is the commit.

    Args:
        name: Hub id, such as `Qwen/Qwen3-0.6B`.
        revision: branch, tag or commit; None is the default branch.
        cache: the Hub's cache folder, $HF_HUB_CACHE by default.
        download: ask the Hub, and fetch what is missing; else only the Hub's cache is looked at.

    Raises:
        NotDownloaded: it is not in the Hub's cache, and was not to be downloaded.
        ModelError: no such model or revision, no permission, or no network and no cached copy.
        DiskFull: the download could not be written.
    """
    from huggingface_hub import errors, snapshot_download

    if revision is not None and (".." in revision or not _REVISION.fullmatch(revision)):
        raise ModelError(
            f"{printable(revision, 80)!r} is no revision", remedy="name a branch, a tag or a commit"
        )
    at = f"{name}@{revision}" if revision else name
    try:
        folder = snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(ALLOWED),
            cache_dir=cache,
            etag_timeout=_SECONDS,
            local_files_only=not download,
        )
    except errors.HFValidationError as error:
        raise ModelError(
            f"{printable(name, 80)!r} is no Hub id", remedy="write it as in Qwen/Qwen3-0.6B"
        ) from error
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{at} is gated", remedy="accept its terms on the Hub and run `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(
            f"{name} has no revision {revision!r}", remedy="name a branch, a tag or a commit"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"the Hub has no model {name!r} that you may see", remedy="check its name"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        if download:
            raise _unreachable(at) from error
        raise NotDownloaded(
            f"{at} is not on this machine yet", remedy="submit the run, which downloads it"
        ) from error
    except (errors.EntryNotFoundError, errors.HfHubHTTPError, ConnectionError) as error:
        raise _unreachable(at) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise ModelError(
                f"{at} could not be downloaded: {error.strerror or type(error).__name__}",
                remedy="set HF_HUB_CACHE to a folder that you may write to",
            ) from error
        raise DiskFull(
            f"{at} could not be downloaded: {error.strerror or error}",
            remedy="free some disk space, or set HF_HUB_CACHE to another disk",
        ) from error
    # Errors of the client's HTTP library, whose name changes, pass through it as they are.
    except Exception as error:
        raise ModelError(
            f"{at} could not be downloaded ({type(error).__name__})",
            remedy="check the network and try again; what was downloaded is kept",
        ) from error
    return Path(folder)


def _unreachable(at: str) -> ModelError:
    return ModelError(
        f"{at} is not in the Hub's cache on this machine, and the Hub cannot be reached",
        remedy="connect to the network, or work offline with the demo model or a local folder",
    )
