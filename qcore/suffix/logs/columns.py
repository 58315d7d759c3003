"""CSV logs: one event a row, in any order.

The columns are named by whoever exported the log, so they are guessed from their names and shown:
`guess` gives the mapping, `read_csv` takes it, changed or not. Values are read as text (a case may
be called NA), times are parsed by pandas, zones are dropped after conversion to UTC. Plain or
gzip; UTF-8, UTF-16 with its mark, or Windows-1252 if the bytes are not UTF-8.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from qcore.errors import DataError
from qcore.suffix.logs.event_log import EventLog, event_log

if TYPE_CHECKING:
    import pandas as pd

MOST_COLUMNS = 1000
MOST_BYTES = 2 << 30
"""Of text, unpacked: a small gzip file can hold any amount of it."""
SHOWN = 8

NAMES = {
    "case": ("case:concept:name", "case", "case_id", "caseid", "case id", "trace", "trace_id"),
    "activity": ("concept:name", "activity", "activity_name", "event", "task", "complete activity"),
    "time": (
        "time:timestamp",
        "timestamp",
        "time",
        "complete timestamp",
        "completetime",
        "completed",
        "end_time",
        "end",
        "date",
        "datetime",
        "start_time",
        "start timestamp",
    ),
}
"""Names in use, the likelier first; compared in lower case, with spaces for - and _."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column says what."""

    case: str
    activity: str
    time: str


def first_text(path: Path) -> str:
    """The first 64 KiB of text. Raises DataError as `read_csv`."""
    return _text(path, limit=1 << 16)


def columns(path: Path) -> list[str]:
    """The header's names. Raises DataError as `read_csv`."""
    return _header(_text(path, limit=1 << 20), path)


def guess(names: list[str]) -> Columns:
    """The likeliest mapping.

    Raises:
        DataError: a role has no column with a name in use; says which, and lists the columns.
    """
    plain = {_plain(name): name for name in reversed(names)}
    found: dict[str, str] = {}
    for role, usual in NAMES.items():
        match = next((plain[_plain(name)] for name in usual if _plain(name) in plain), None)
        if match is None:
            raise DataError(
                f"none of {len(names)} columns ({_shown(names)}) is named like the {role}",
                remedy=f"choose the {role}'s column",
            )
        found[role] = match
    return Columns(**found)


def read_csv(path: Path, mapping: Columns | None = None) -> EventLog:
    """A log from a CSV or CSV.GZ file.

    Args:
        path: the file.
        mapping: the columns; guessed if None.

    Raises:
        DataError: unreadable, not text, no rows, a column missing, an empty case or activity, or a
            time that is none; says the row.
    """
    chosen = mapping or guess(columns(path))
    table = read_table(path, (chosen.case, chosen.activity, chosen.time))
    case, activity = table[chosen.case], table[chosen.activity]
    for role, column in (("case", case), ("activity", activity)):
        empty = np.flatnonzero((column.str.strip() == "").to_numpy())
        if len(empty):
            raise DataError(
                f"row {empty[0] + 2} of {path.name} has no {role}; {len(empty)} rows have none",
                remedy="fill or remove these rows, or choose another column",
            )
    seconds = _seconds(cast("pd.Series", table[chosen.time]), path)
    return event_log(case.to_numpy(), activity.to_numpy(), seconds)


def read_table(path: Path, wanted: Sequence[str]) -> pd.DataFrame:
    """Some of the file's columns, as text.

    Raises:
        DataError: as `read_csv`.
    """
    import pandas as pd
    import pyarrow as pa
    from pyarrow import csv as arrow

    content = _text(path)
    names = _header(content, path)
    for name in wanted:
        if name not in names:
            raise DataError(
                f"{path.name} has no column {name!r}, only {_shown(names)}",
                remedy="choose one of its columns",
            )
    try:
        # Unlike pandas, which moves a row's fields along when it has more than the header.
        read = arrow.read_csv(
            io.BytesIO(content.encode()),
            parse_options=arrow.ParseOptions(
                delimiter=_separator(content), newlines_in_values=True
            ),
            convert_options=arrow.ConvertOptions(
                include_columns=list(dict.fromkeys(wanted)),
                column_types=dict.fromkeys(wanted, pa.string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{path.name} is not a table: {str(error).strip()[:120]}",
            remedy="give every row as many fields as the header, quoted where they hold a comma",
        ) from error
    table = pd.DataFrame({name: read[name].to_pandas() for name in read.column_names})
    if table.empty:
        raise DataError(
            f"{path.name} has a header and no rows", remedy="give a log with at least 2 cases"
        )
    return table


def _seconds(column: pd.Series, path: Path) -> np.ndarray:
    import pandas as pd

    times = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
    if times.isna().all():
        guessed = _guessed_format(column)
        if guessed is not None:
            times = pd.to_datetime(column, errors="coerce", utc=True, format=guessed)
    bad = np.flatnonzero(times.isna())
    if len(bad):
        raise DataError(
            f"row {bad[0] + 2} of {path.name} has the time {str(column.iloc[bad[0]])[:40]!r}; "
            f"{len(bad)} of {len(times)} rows cannot be read as times",
            remedy="write times as 2024-12-31 23:59:59, or choose another column",
        )
    return times.dt.as_unit("us").astype("int64").to_numpy() / 1e6


def _guessed_format(column: pd.Series) -> str | None:
    """The one format of a list in use that the whole column has; days first if both orders fit."""
    import pandas as pd

    head = column.head(2000)
    for date in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d-%b-%Y"):
        for clock in (" %H:%M:%S.%f", " %H:%M:%S", " %H:%M", ""):
            parsed = pd.to_datetime(head, errors="coerce", format=date + clock)
            if not parsed.isna().any():
                whole = pd.to_datetime(column, errors="coerce", format=date + clock)
                if not whole.isna().any():
                    return date + clock
    return None


def _header(content: str, path: Path) -> list[str]:
    first = content.split("\n", 1)[0].strip("\r")
    if not first.strip():
        raise DataError(
            f"{path.name} is empty" if not content.strip() else f"{path.name} has no header",
            remedy="give a CSV file whose first row names the columns",
        )
    names = next(csv.reader([first], delimiter=_separator(content)))
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"{path.name} has {len(names)} columns, more than {MOST_COLUMNS}",
            remedy="keep the columns of case, activity and time",
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(
            f"{path.name} has {names.count(twice[0])} columns named {twice[0][:40]!r}",
            remedy="give every column a name of its own",
        )
    return names


def _separator(content: str) -> str:
    first = content.split("\n", 1)[0]
    return max(",;\t|", key=first.count)


def is_gzip(path: Path) -> bool:
    """Whether a file begins as gzip files do."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _text(path: Path, limit: int = -1) -> str:
    remedy = "name a readable CSV file, plain or gzip"
    try:
        opener = gzip.open if is_gzip(path) else open
        with opener(path, "rb") as file:
            data = file.read(limit if limit >= 0 else MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path.name} cannot be read: {what}", remedy=remedy) from error
    if len(data) > MOST_BYTES:
        raise DataError(
            f"{path.name} holds more than {MOST_BYTES >> 20} MiB of text",
            remedy="give a part of the log, or keep the columns of case, activity and time",
        )
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if limit >= 0 and error.start > len(data) - 4:
            return data[: error.start].decode(encoding)
        return _legacy(data, error, path)


def _legacy(data: bytes, error: UnicodeDecodeError, path: Path) -> str:
    """Windows-1252, unless the file mixes it with UTF-8 or is not text at all."""
    mixed = _has_utf8_letters(data)
    try:
        content = data.decode("cp1252")
    except UnicodeDecodeError:
        mixed, content = True, ""
    if mixed or "\x00" in content:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path.name} mixes encodings: row {line} holds the byte "
            f"0x{data[error.start]:02x}, which is not UTF-8, and other rows are not Windows-1252",
            remedy="save it as UTF-8",
        ) from error
    return content


def _has_utf8_letters(data: bytes) -> bool:
    """Whether some line that is not ASCII is valid UTF-8."""
    for line in data.splitlines():
        if not line.isascii():
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                continue
            return True
    return False


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ").replace("-", " ")


def _shown(names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name[:30] for name in names[:SHOWN]) + rest
