"""Which selected points a chart has to ring itself, so that a click does not lose its zoom.

Streamlit makes a chart anew whenever its figure differs, and a chart made anew is as it was first
drawn. So a figure must not change because one of its points was clicked: plotly marks that point by
itself. A selection that came from elsewhere (the address, the table under the chart) is drawn as
rings, which makes the chart anew; so does a figure that differs for other reasons, which is why
rings then show what plotly has forgotten.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

Runs = frozenset[str]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart as it was drawn last.

    Attributes:
        view: whatever else decides its figure.
        rings: the runs that the figure rings.
        generation: counts the charts that had to be made anew with an equal figure.
    """

    view: Hashable
    rings: Runs
    generation: int = 0


def next_drawn(last: Drawn | None, view: Hashable, clicked: Runs, selected: Runs) -> Drawn:
    """How to draw the chart now.

    Args:
        last: how it was drawn before; None at first.
        view: whatever decides its figure besides the selection.
        clicked: the runs that plotly marks, by the chart's own account.
        selected: the runs that are selected.
    """
    if last is None or last.view != view:
        return Drawn(view, selected, last.generation if last else 0)
    if last.rings or clicked != selected:
        # Without rings before and after, only another generation unmarks what plotly marks.
        stale = bool(clicked) and not last.rings and not selected
        return Drawn(view, selected, last.generation + stale)
    return last
