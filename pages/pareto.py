"""Pareto: what is the best I can get for my size? Finished runs by size and quality."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages._ui import columns, empty, engine, entry, messages, state, wording
from pages._ui.charts import ERROR_BARS_UP_TO, config
from pages._ui.runs import charts, library, report, tables
from pages._ui.runs.selection import next_drawn
from pages._ui.runs.table import choose, draw_runs
from qcore.errors import QuantscopeError
from qcore.recipe.titles import title_of
from qcore.report import metrics

_SHOWN_AT_ONCE = 4


def choose_measured(table: pd.DataFrame) -> pd.DataFrame:
    """The runs that were scored on the same tokens of the same model."""
    scored = list(zip(columns.words(table, "measured"), columns.words(table, "model"), strict=True))
    places = list(dict.fromkeys(scored))
    wanted = set(state.selected())
    named = (
        at for at, run in zip(scored, columns.words(table, "id"), strict=True) if run in wanted
    )
    first = places.index(next(named, places[0]))
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    place: tuple[str, str] = (
        left.selectbox(
            "Evaluated on",
            places,
            index=first,
            format_func=lambda at: f"{at[1]} – {at[0]} ({scored.count(at)})",
            help="Only runs that were scored on the same tokens can be compared.",
        )
        or places[first]
    )
    others = [model for measured, model in places if measured == place[0] and model != place[1]]
    models = [place[1]]
    if others:
        models += right.multiselect(
            "Show beside it",
            others,
            help="Other models on the same text. Perplexities of models with different "
            "tokenizers do not compare.",
        )
    return tables.comparable(table, place[0], models)


def choose_axes(table: pd.DataFrame) -> tuple[metrics.Axis, metrics.Axis, bool, bool, str]:
    """Size, quality, its log axis or not, runs that broke or not, and the saved figures' format."""
    left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
    with left:
        size = st.segmented_control(
            "Size",
            list(metrics.SIZES),
            default="bits",
            required=True,
            format_func=lambda name: {"bits": "Bits per weight", "bytes": "Bytes"}[name],
            key="x",
            bind="query-params",
        )
    with middle:
        score = st.selectbox(
            "Quality",
            tables.metrics(table),
            format_func=metrics.metric_label,
            key="y",
            bind="query-params",
        )
    axis = metrics.quality(score)
    with right.popover("Display", icon=":material/settings:", width="stretch"):
        log = st.toggle("Logarithmic quality axis", value=axis.logarithmic, key=f"log-{score}")
        pieces = st.toggle(
            "Runs that broke",
            help="Runs at more than 30 times the float model's perplexity (3.4 nats per token): "
            "they would flatten all others.",
        )
        image = st.segmented_control(
            "Saved figure (camera button)", ["svg", "png"], default="svg", required=True
        )
    return metrics.SIZES[size], axis, log, pieces, image


def draw_chart(table: pd.DataFrame) -> None:
    """The figure, its caption, and the click that selects."""
    size, score, log, pieces, image = choose_axes(table)
    broke = tables.broken(table, score)
    hidden = 0 if pieces else int(broke.sum())
    if hidden:
        table = table.loc[~broke]
    drawn = (table["measured"].iloc[0], *sorted(set(columns.words(table, "model"))))
    version = engine.index().stamp
    view = (version, drawn, size, score, log, pieces)
    clicked = frozenset(state.clicked(st.session_state.get("front")))
    now = next_drawn(
        st.session_state.get("front.drawn"), view, clicked, frozenset(state.selected())
    )
    st.session_state["front.drawn"] = now
    figure = _figure((version, drawn, pieces), table, size, score, log, now.rings, now.generation)
    st.plotly_chart(
        figure,
        key="front",
        on_select=lambda: choose(state.clicked(st.session_state["front"])),
        selection_mode=("points", "box", "lasso"),
        config=config("pareto", image),
        alt=f"{len(table)} runs, {size.label} against {score.label}",
    )
    bars = "Bars are 95 % intervals. " if len(table) <= ERROR_BARS_UP_TO else ""
    gone = f"Not drawn: {wording.count(hidden, 'run')} that broke (see Display). " if hidden else ""
    st.caption(
        f"{gone}{', '.join(table['model'].unique())} on {table['measured'].iloc[0]}. {bars}Click a "
        "point (shift adds more), or use the box or lasso above the plot, to open reports below."
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _figure(
    key: tuple,
    _table: pd.DataFrame,
    size: metrics.Axis,
    score: metrics.Axis,
    log: bool,
    rings: frozenset[str],
    generation: int,
) -> go.Figure:
    """The figure, kept while `key` names the same runs; it is drawn from, never changed."""
    reference = tables.reference(_table, score)
    figure = charts.pareto(
        _table, size, score, reference=reference, logarithmic=log, selected=rings
    )
    return figure.update_layout(meta=generation)


def draw_reports() -> None:
    """The selected runs' reports, one at a time."""
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
    titles = {report.id: title_of(report.recipe) for report in reports}
    shown = reports[0].id
    if len(reports) > 1:
        shown = st.segmented_control(
            "Report",
            list(titles),
            default=shown,
            required=True,
            format_func=lambda run: titles[run],
            label_visibility="collapsed",
        )
    report.draw(next(found for found in reports if found.id == shown))


entry.through_app()
st.title("What is the best I can get for my size?")
st.caption(
    "Every finished run is a point: how large the model became, and how much of its quality is "
    "left. What to notice: the runs on the grey steps; none that was measured is both smaller and "
    "better."
)
with messages.guard():
    reading = library.draw()
    everything = engine.runs()
    if everything.empty and not reading:
        empty.runs()
    elif not everything.empty:
        comparable = choose_measured(everything)
        draw_chart(comparable)
        draw_runs(comparable)
        st.divider()
        draw_reports()
