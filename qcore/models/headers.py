"""What safetensors files say that they hold: names, types and shapes, before any tensor is read.

A safetensors file is an 8-byte little-endian length N, N bytes of JSON (name → dtype, shape, byte
span), and the tensors' bytes without gaps to the end of the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qcore.errors import BrokenCheckpoint
from qcore.models.files import check_regular, printable

AGAIN = "download it again"

_LARGEST_HEADER = 100_000_000
_BITS = {
    "F4": 4,
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a checkpoint, as its file's header describes it.

    Attributes:
        name: as the file has it.
        dtype: safetensors' word: `F32`, `BF16`, …
        shape: sizes.
        file: where it lies.
        start: first byte in that file.
        stop: the byte after its last.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    stop: int

    def is_zero(self) -> bool:
        """Whether every element is 0 or −0, by its bytes: no library need be imported for it."""
        with self.file.open("rb") as file:
            file.seek(self.start)
            data = file.read(self.stop - self.start)
        width = max(1, _BITS[self.dtype] // 8)
        signs = data[width - 1 :: width]  # little-endian: the last byte holds the sign
        rest = (data[place::width] for place in range(width - 1))
        return not any(byte & 0x7F for byte in signs) and not any(map(any, rest))


def read_headers(files: Iterable[Path]) -> dict[str, Stored]:
    """Every tensor of these files by name.

    Raises:
        BrokenCheckpoint: as `check_safetensors`; or two files hold tensors of one name.
    """
    found: dict[str, Stored] = {}
    for path in files:
        for stored in check_safetensors(path):
            other = found.get(stored.name)
            if other is not None:
                raise BrokenCheckpoint(
                    f"{printable(stored.name, 80)} lies in {other.file.name} and in {path.name}",
                    remedy="leave only the files of one checkpoint in the folder",
                )
            found[stored.name] = stored
    return found


def check_safetensors(path: Path) -> list[Stored]:
    """Check a file's header against its length; reads no tensor, returns what there is.

    Raises:
        BrokenCheckpoint: no regular file; shorter or longer than its header says; a header that
            cannot be read, contradicts itself or names an unknown type.
    """
    size = check_regular(path, remedy=AGAIN).st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(size - 8, _LARGEST_HEADER):
                raise _damaged(path, f"its header would have {length} bytes in a file of {size}")
            text = file.read(length)
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({error.strerror})") from error
    try:
        header = json.loads(text, object_pairs_hook=_distinct)
        _check_metadata(header.pop("__metadata__", None))
        entries = [(name, entry, _span(entry)) for name, entry in header.items()]
    except BrokenCheckpoint as error:
        raise _damaged(path, error.fact) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(path, f"its header cannot be read ({type(error).__name__})") from error
    end = 0
    for start, stop in sorted(span for _, _, span in entries):
        if start != end:
            raise _damaged(path, f"its tensors leave a gap or overlap at byte {end}")
        end = stop
    if size != 8 + length + end:
        raise _damaged(path, f"it has {size} bytes and its header describes {8 + length + end}")
    return [
        Stored(name, entry["dtype"], tuple(entry["shape"]), path, 8 + length + a, 8 + length + b)
        for name, entry, (a, b) in entries
    ]


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; two values of one name leave open which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BrokenCheckpoint("its header names something twice", remedy=AGAIN)
    return found


def _check_metadata(metadata: Any) -> None:
    texts = [*metadata, *metadata.values()] if isinstance(metadata, dict) else []
    if metadata is not None and (
        not isinstance(metadata, dict) or any(not isinstance(text, str) for text in texts)
    ):
        raise BrokenCheckpoint("its metadata is more than names and texts", remedy=AGAIN)


def _span(entry: dict[str, Any]) -> tuple[int, int]:
    (start, stop), shape, dtype = entry["data_offsets"], entry["shape"], entry["dtype"]
    if dtype not in _BITS:
        shown = printable(str(dtype), 40)
        raise BrokenCheckpoint(f"the type {shown!r} is unknown", remedy=AGAIN)
    for number in (start, stop, *shape):
        if type(number) is not int or number < 0:
            raise ValueError
    if 8 * (stop - start) != math.prod(shape) * _BITS[dtype]:
        raise ValueError
    return start, stop


def _damaged(path: Path, fact: str) -> BrokenCheckpoint:
    return BrokenCheckpoint(f"{path.name} is damaged: {fact}", remedy=AGAIN)
