"""The button that saves a table."""

from __future__ import annotations

import pandas as pd


def download(place, table: pd.DataFrame, name: str, label: str = "Table as CSV") -> None:
    """A button in `place` that saves `table` as `quantscope-NAME.csv`."""
    place.download_button(
        label,
        lambda: table.to_csv(index=False).encode(),
        file_name=f"quantscope-{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=name,
    )
