"""Statistics over tokens as tables, pure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from qcore.report import tokens
from qcore.report.tokens import TokenStatistics


def one(found: TokenStatistics) -> pd.DataFrame:
    """One run's statistics, a row each."""
    return pd.DataFrame(
        [
            {"Statistic": line.name, "Value": line.value, "±": line.error, "Unit": line.unit}
            for line in tokens.lines(found)
        ]
    )


def side_by_side(found: Sequence[tuple[str, TokenStatistics]]) -> pd.DataFrame:
    """Several runs' statistics, a row each and a column a run: `0.0312 ± 0.0004`."""
    table: dict[str, list[str]] = {}
    for name, statistics in found:
        lines = tokens.lines(statistics)
        table.setdefault("Statistic", [line.name for line in lines])
        table.setdefault("Unit", [line.unit for line in lines])
        table[name] = [
            f"{line.value} ± {line.error}" if line.error else line.value for line in lines
        ]
    return pd.DataFrame(table)


def published(runs: Sequence[tuple[str, float, TokenStatistics]]) -> pd.DataFrame:
    """The table that quantizations are published with."""
    headers, rows = tokens.kl_table(runs)
    return pd.DataFrame(rows, columns=pd.Index(headers))
