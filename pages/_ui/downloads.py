"""The button that saves a table as CSV."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from streamlit.delta_generator import DeltaGenerator


def as_csv(
    place: DeltaGenerator,
    table: pd.DataFrame | Callable[[], pd.DataFrame],
    name: str,
    label: str = "Table as CSV",
) -> None:
    """Draw a button that saves a table; a function is called on the click.

    Args:
        place: the column or container to stand in.
        table: what to save, or what makes it.
        name: of the file, after `quantscope-`, and of the button.
        label: what the button says.
    """

    def text() -> bytes:
        made = table if isinstance(table, pd.DataFrame) else table()
        return made.to_csv(index=False).encode()

    place.download_button(
        label,
        text,
        file_name=f"quantscope-{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=name,
    )
