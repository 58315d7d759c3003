"""A folder that appears whole or not at all.

Everything is written into a hidden folder beside the target, which takes its name in one step at
the end. A writer that is killed leaves only the hidden folder; the next export to the same place
sweeps it, unless somebody is still writing there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qcore.errors import DiskFull, ExportError, printable
from qcore.models.files import real_path

_LOCK = ".writing"


@contextmanager
def staged(target: Path, needed: int) -> Iterator[Path]:
    """Lend out a hidden folder that becomes `target` when the block ends well.

    Args:
        target: must not exist; its parent must.
        needed: bytes that will be written.

    Raises:
        ExportError: the target exists, or cannot be made.
        DiskFull: less room than `needed`.
    """
    real_path(target, error=ExportError, remedy="name a folder that does not exist yet")
    target = target.expanduser().absolute()
    if target.exists() or target.is_symlink():
        raise ExportError(
            f"{printable(str(target))} exists already", remedy="name a folder that does not"
        )
    if not target.parent.is_dir():
        raise ExportError(
            f"{printable(str(target.parent))} is no folder",
            remedy="make it, or choose another place",
        )
    _sweep(target)
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise DiskFull(
            f"{needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free",
            remedy="make room, or choose a place on another disk",
        )
    try:
        folder = Path(
            tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        )
    except OSError as error:
        raise ExportError(
            f"nothing can be written into {printable(str(target.parent))}: {error.strerror}",
            remedy="choose a place that you may write to",
        ) from error
    try:
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
            (folder / _LOCK).unlink()
            folder.chmod(0o755)
            _publish(folder, target)
    except OSError as error:
        if error.errno in (28, 122):  # no space, over quota
            raise DiskFull(
                f"the disk filled up while {printable(target.name)} was written",
                remedy="make room and export again; nothing was left behind",
            ) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def bytes_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _publish(folder: Path, target: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    try:
        folder.rename(target)
    except OSError as error:
        raise ExportError(
            f"{printable(str(target))} appeared meanwhile",
            remedy="name a folder that does not exist",
        ) from error


def _sweep(target: Path) -> None:
    """Remove what a killed export to the same place left behind."""
    for left in target.parent.glob(f".{target.name}.*.part"):
        with contextlib.suppress(OSError), (left / _LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
