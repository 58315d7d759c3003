"""The Outliers page's sections: numbers, then figures, each with what to notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go
import streamlit as st

from pages._ui import downloads, messages
from pages._ui.figures.view import draw_figure
from pages._ui.outliers import tables, words
from pages._ui.outliers.charts import bounds, distributions, masses, pictures

if TYPE_CHECKING:
    from qcore.analysis.captures import SampledTokens, View


def draw(view: View, permutation: str) -> None:
    """Draw the numbers, then the four figures, each with what to notice."""
    if view.note:
        st.warning(messages.escape(f"{view.note}."), icon=":material/info:")
    with st.container(horizontal=True):
        for label, value, was, meaning in words.headlines(view):
            st.metric(
                label,
                value,
                was or None,
                help=meaning,
                border=True,
                delta_color="off",
                delta_arrow="off",
            )
    left, right = st.columns(2, gap="large")
    with left:
        figure(
            "How large are the values?",
            distributions(view),
            "What to notice: the right end, where a rotation folds the tail back. The grey area "
            f"counts all {view.tokens:,} calibration tokens; the lines count the "
            f"{len(view.before.peak)} that were kept whole and cannot show what is rarer. "
            "Permuting changes no magnitude.",
        )
    if view.kept is not None:
        with right:
            figure(
                "Does the rotation keep its promise?",
                bounds(view),
                "One point per sampled token. What to notice: none lies above the dashed line, the "
                "bound; above the dotted one the rotation made the token's peak larger. Left of 1 "
                "the bound itself assures that it does not.",
            )
    figure(
        "Which channels, which tokens?",
        pictures(stages(view, words.METHODS[permutation])),
        "What to notice: horizontal lines are outlier channels, single bright cells are massive "
        "activations. Each cell is the largest magnitude among its channels, over the token's RMS; "
        "tokens stand in text order.",
    )
    if view.kept is not None and len(view.kept.mass) > 1:
        figure(
            "Do the blocks share the load?",
            masses(view),
            "Mean ℓ1 mass of every block over all calibration tokens. What to notice: the tallest "
            "bar bounds the peak; at the dashed line all blocks weigh the same. Hatched blocks are "
            "those that the rotation made worse.",
        )
        blocks(view)


def stages(view: View, permutation: str) -> list[tuple[str, SampledTokens]]:
    """List the stages pictured side by side: before, permuted, rotated."""
    shown = [("Before", view.before)]
    if view.permuted is not None:
        shown.append((f"Permuted ({permutation})", view.permuted.ordered))
        shown.append(("Permuted and rotated", view.permuted.rotated))
    elif view.kept is not None:
        shown.append(("Rotated", view.kept.rotated))
    return shown


def figure(heading: str, chart: go.Figure, caption: str) -> None:
    """Draw a figure under the question it answers, and what to notice in it."""
    st.subheader(heading, anchor=False)
    name = "outliers-" + "-".join(heading.lower().rstrip("?").split()[-2:])
    draw_figure(chart, key=name, name=name, alt=heading)
    st.caption(caption)


def blocks(view: View) -> None:
    """Draw the table of the rotation's blocks, those that it made worse first."""
    st.markdown(words.verdict(view))
    table = tables.block_table(view)
    number = st.column_config.NumberColumn
    st.dataframe(
        table,
        hide_index=True,
        height=min(38 + 35 * len(table), 320),
        key="outliers.blocks",
        column_config={
            "order": "Order",
            "block": number("Block"),
            "mass": number("ℓ1 mass", format="%.4g", help="E‖x₍ⱼ₎‖₁, all calibration tokens"),
            "mass_over_mean": number("Over the mean", format="%.2f"),
            "peak_before": number("Peak before", format="%.4g", help="Mean over sampled tokens"),
            "peak_after": number("Peak after", format="%.4g", help="Mean over sampled tokens"),
            "worse": number("Worse in", format="percent", help="Share of the sampled tokens"),
            "flagged": st.column_config.CheckboxColumn("Made worse"),
        },
    )
    downloads.table(st.container(horizontal=True), table, "outlier-blocks", "Table as CSV")
