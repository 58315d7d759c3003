"""The Bits page's sections: figures and tables, each with what to notice."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages._ui import downloads, empty, messages, state, wording
from pages._ui.bits import controls, maps, pins, words
from pages._ui.bits.charts import trajectory
from pages._ui.bits.engine import report_of
from pages._ui.bits.tables import projection_table, trajectory_table, values_of
from pages._ui.figures.view import draw_figure
from pages._ui.runs import organise, tables
from qcore.explore.allocation import measuring_recipe
from qcore.explore.groups import ComparisonGroup
from qcore.precision.table import Costs
from qcore.recipe import Precision, Recipe
from qcore.report.metrics import Axis, is_share, metric_label
from qcore.report.summary import Summary

if TYPE_CHECKING:
    from qcore.precision.layers import LayerSize


def headline(numbers: Sequence[tuple[str, str, str, str]]) -> None:
    """Draw a row of metrics: label, value, the line under it, meaning."""
    with st.container(horizontal=True):
        for label, value, under, meaning in numbers:
            st.metric(
                messages.escape(label),
                value,
                under or None,
                help=meaning,
                border=True,
                delta_color="off",
                delta_arrow="off",
            )


def race(figure: go.Figure, score: Axis, runs: int, more: str, hollow: str = "") -> None:
    """Draw quality against average bits; a click on a run shows its assignment.

    Args:
        figure: to be drawn.
        score: what runs along y.
        runs: how many are measured.
        more: which runs are left out, in words; empty for none.
        hollow: what the hollow points rest on; empty where there are none.
    """

    def follow() -> None:
        for run in state.clicked(st.session_state["bits.race"]):
            controls.show(run)

    draw_figure(
        figure,
        key="bits.race",
        name="bits",
        select="points",
        on_select=follow,
        alt=f"{wording.count(runs, 'measured run')}, average bits against {score.label}",
    )
    told = f"Hollow: predicted, one per method at this budget. {hollow} " if hollow else ""
    st.caption(
        f"{more}Filled: measured, with 95 % intervals. {told}What to notice: how far the methods "
        "lie apart at the same bits. Click a filled point to see its assignment."
    )


def shares(
    layers: Sequence[LayerSize],
    formats: Mapping[str, str],
    costs: Costs,
    allowed: Sequence[str],
) -> None:
    """Draw how formats are shared within projections; `allowed` go from narrow to wide."""
    table = projection_table(layers, formats, costs, allowed[0])
    draw_figure(
        maps.shares(table, allowed),
        key="bits.shares",
        name="projections",
        alt="Formats by projection",
    )
    st.caption(f"{messages.escape(words.kept_wide(table))} In the dMX paper down and v are.")
    downloads.table(st.container(horizontal=True), table, "bits-projections")


def draw_maps(
    group: ComparisonGroup,
    layers: Sequence[LayerSize],
    formats: Mapping[str, str],
    part: Precision,
    costs: Costs,
    after: Mapping[str, str] | None,
    pinned: Collection[str],
) -> None:
    """Draw the assignment and the sensitivities side by side.

    Args:
        group: runs whose assignments can be shown.
        layers: all of the network.
        formats: by layer, of the assignment shown.
        part: its formats and its measure.
        costs: of every layer in every format.
        after: what the next larger budget gives; None where none is solved.
        pinned: layers whose format is given.
    """
    left, right = st.columns(2, gap="large")
    with left:
        controls.choose_shown(group)
    with right:
        shown = controls.choose_colour(part)
    chosen = pins.framed(layers)
    with left:
        _figure(
            "bits.map",
            maps.format_map(
                layers, formats, part.narrow_to_wide, after=after, pinned=pinned, chosen=chosen
            ),
            f"Formats of {len(layers)} layers: {words.counts(formats)}",
        )
        arrows = f" An arrow: the layer changes when the budget grows by {words.STEP:g} bits."
        st.caption(
            f"{words.counts(formats)}.{arrows if after is not None else ''} What to notice: wide "
            "formats go where the right map is bright, and to small layers before large ones. "
            "Click a cell to see or pin its layer."
        )
    with right:
        values = values_of(costs, shown, layers)
        label = words.colour_label(part.probe.measure, shown)
        _figure(
            "bits.sensitivity",
            maps.sensitivity_map(layers, values, label, chosen),
            f"{label} of {len(layers)} layers",
        )
        blank = sum(not value > 0 for value in values.values())
        st.caption(
            f"{label[:1].upper()}{label[1:]}; each layer quantized alone, colours on a log scale."
            + (f" {wording.count(blank, 'blank cell')}: nothing is lost there." if blank else "")
            + " What to notice: a few layers lose far more than all others."
        )


def _figure(key: str, chart: go.Figure, alt: str) -> None:
    draw_figure(
        chart,
        key=key,
        name=key.replace(".", "-"),
        select="points",
        on_select=lambda: pins.pick(key),
        alt=alt,
    )


def moves(table: pd.DataFrame, sentence: str, measure: str) -> None:
    """Draw the table of layers that change, with what that saves."""
    name, unit = words.MEASURES[measure]
    st.markdown(sentence)
    if table.empty:
        return
    number = st.column_config.NumberColumn
    st.dataframe(
        table,
        hide_index=True,
        height=min(38 + 35 * len(table), 320),
        key="bits.moves.table",
        column_order=["layer", "from", "to", "saved", "weights"],
        column_config={
            "layer": "Layer",
            "from": "From",
            "to": "To",
            "weights": number("Weights", format="localized"),
            "saved": number(f"{name} saved ({unit})".replace(" ()", ""), format="%.3g"),
        },
    )
    downloads.table(st.container(horizontal=True), table, "bits-moves")


def training(runs: Sequence[Summary], shown: str) -> None:
    """Draw dMX's offsets over its steps, of the run that is shown or of the newest."""
    learned = {run.id: run for run in runs if run.trained}
    if not learned:
        return
    st.subheader("How did dMX decide?", anchor=False)
    run = shown if shown in learned else next(iter(learned))
    if len(learned) > 1:
        run = st.selectbox(
            "Training of",
            list(learned),
            index=list(learned).index(run),
            format_func=lambda name: controls.run_label(learned[name]),
            key="bits.training.run",
        )
    report, part = report_of(run), learned[run].recipe.precision
    precision = report.precision if report else None
    if report is None or precision is None or precision.trajectory is None or part is None:
        return
    budget = math.nan if part.budget is None else part.budget
    draw_figure(
        trajectory(precision.trajectory, budget, len(part.formats)),
        key="bits.training",
        name="dmx",
        alt=f"dMX's training of {len(precision.trajectory.offsets)} offsets",
    )
    st.caption(
        "Loss and average bits above, every layer's offset below, coloured by projection. What to "
        "notice: which projections rise first. Where an offset ends between the dotted lines "
        "decides the layer's format, the widest above them all; as the gate's temperature rises, "
        "each falls to one side."
    )
    downloads.table(st.container(horizontal=True), trajectory_table(report), "bits-training")


def run_table(measured: pd.DataFrame) -> None:
    """Draw the measured runs as rows."""
    if measured.empty:
        return
    number = st.column_config.NumberColumn
    metrics = tables.metrics(measured)
    ids = list(measured["id"])
    chosen = [run for run in state.selected() if run in ids]
    rows = [ids.index(run) for run in chosen]
    st.session_state["bits.runs.table"] = {"selection": {"rows": rows, "columns": [], "cells": []}}

    def follow() -> None:
        found = st.session_state["bits.runs.table"]["selection"]["rows"]
        state.select(ids[row] for row in found if row < len(ids))

    st.dataframe(
        measured,
        hide_index=True,
        on_select=follow,
        selection_mode="multi-row",
        height=min(38 + 35 * len(measured), 320),
        key="bits.runs.table",
        column_order=["method", "budget", "bits", "predicted", *metrics, "seconds", "title", "id"],
        column_config={
            "method": "Method",
            "budget": number("Budget", format="%.2f", help="As asked"),
            "bits": number("Bits", format="%.3f", help="Reached, as counted on this page"),
            "predicted": number("Predicted", format="%.4g", help="From its sensitivities"),
            "seconds": number("Time", format="%.1f s"),
            "title": "Run",
            "id": "Id",
            **{
                name: number(
                    metric_label(name),
                    format="percent" if is_share(name) else "%.4g",
                )
                for name in metrics
            },
        },
    )
    with st.container(horizontal=True):
        organise.compare_button(chosen, "bits.compare")
        downloads.table(st.container(horizontal=True, width="content"), measured, "bits-runs")


def offer_measuring(group: ComparisonGroup) -> None:
    """Say that the cache has no sensitivities for these runs, and offer to measure them."""
    st.info(
        "The cache holds no sensitivities for these runs, so no other budget can be solved here. "
        "One job measures them; the runs stay as they are.",
        icon=":material/info:",
    )

    def recipes() -> list[Recipe]:
        return [measuring_recipe(group)]

    empty.run_button("Measure sensitivities", recipes, "bits.measuring", ensure="sensitivity")
