"""The Pareto page's sections: the figure, and the selected runs' reports."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages._ui import columns, engine, messages, state, wording
from pages._ui.charts import ERROR_BARS_UP_TO
from pages._ui.figures.view import draw_figure, encoded
from pages._ui.runs import charts, filters, report, tables, words
from pages._ui.runs.controls import choose_axes
from qcore.errors import QuantscopeError
from qcore.report import metrics

_SHOWN_AT_ONCE = 4


def draw_chart(table: pd.DataFrame, otherwise: str) -> None:
    """Draw the figure and its caption; a click on a point selects its run.

    Args:
        table: runs that compare; at least one.
        otherwise: how many runs there are that do not, in words; empty for none.
    """
    size, score, log, pieces, by = choose_axes(table)
    broke = tables.broken(table, score)
    hidden = 0 if pieces else int(broke.sum())
    if hidden:
        table = table.loc[~broke]
    drawn = (table["measured"].iloc[0], *sorted(set(columns.words(table, "model"))))
    table = filters.coloured(_told_apart(table), by)
    version = (engine.run_table().stamp, hash(tuple(columns.words(table, "id"))))
    rings = frozenset(state.selected())
    column = "method" if by == "method" else "group"
    figure = _figure((version, drawn, pieces, by), table, size, score, log, rings, column)
    draw_figure(
        figure,
        key="front",
        name="pareto",
        select="area",
        on_select=lambda: state.follow("front"),
        alt=f"{len(table)} runs, {size.label} against {score.label}",
    )
    bars = words.bars(score) + " " if len(table) <= ERROR_BARS_UP_TO else ""
    more = f" **{otherwise}**: see Evaluated on." if otherwise else ""
    gone = f"Not drawn: {wording.count(hidden, 'run')} that broke (see Display). " if hidden else ""
    st.caption(
        f"{gone}{messages.escape(', '.join(table['model'].unique()))} on "
        f"{messages.escape(table['measured'].iloc[0])}.{more} {bars}Click a "
        "point (shift adds or removes one), or use Box or Lasso above it, to open reports below."
    )


def _told_apart(table: pd.DataFrame) -> pd.DataFrame:
    """The table with titles that tell its runs apart, where they are read."""
    if len(table) > charts.FULL_HOVER_UP_TO:
        return table
    runs = engine.run_table()
    return table.assign(title=runs.titles(table), short=runs.titles(table, "short"))


@st.cache_resource(max_entries=16, show_spinner=False)
def _figure(
    key: tuple,
    _table: pd.DataFrame,
    size: metrics.Axis,
    score: metrics.Axis,
    log: bool,
    rings: frozenset[str],
    by: str,
) -> str:
    """Make the figure as JSON, or return the one kept for the same `key`."""
    reference = tables.reference(_table, score)
    figure = charts.pareto(
        _table,
        size,
        score,
        reference=reference,
        logarithmic=log,
        selected=rings,
        by=by,
    )
    return encoded(figure)


def draw_reports() -> None:
    """Draw the selected runs' reports, one at a time."""
    chosen = state.selected()
    if not chosen:
        st.info("Select a point or a row to see its report.", icon=":material/ads_click:")
        return
    reports = []
    for run in chosen[:_SHOWN_AT_ONCE]:
        try:
            reports.append(engine.index().get(run))
        except QuantscopeError as error:
            st.error(messages.sentence(error), icon=":material/error:")
    if len(chosen) > _SHOWN_AT_ONCE:
        st.caption(f"{len(chosen)} runs are selected; the first {_SHOWN_AT_ONCE} are shown.")
    if not reports:
        return
    table = engine.runs(archived=True)
    table = table.loc[table["id"].isin([report.id for report in reports])]
    told = engine.run_table().titles(table)
    titles = dict(zip(columns.words(table, "id"), told, strict=True))
    shown = reports[0].id
    if len(reports) > 1:
        shown = st.segmented_control(
            "Report",
            [found.id for found in reports],
            default=shown,
            required=True,
            format_func=lambda run: (
                f"{messages.escape(titles.get(str(run), str(run)))} · {str(run)[:6]}"
            ),
            label_visibility="collapsed",
        )
    report.draw(next(found for found in reports if found.id == shown))
