"""The Bits page's widgets: which runs, what rules, what budget, which layer, which pins."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import messages, servers, state, wording
from pages._ui.bits import words
from pages._ui.bits.engine import Case
from pages._ui.bits.pins import PAGE, typed
from pages._ui.form import summary
from pages._ui.runs import tables
from qcore.explore import allocation
from qcore.explore.groups import ComparisonGroup
from qcore.formats.format import FORMATS
from qcore.recipe import Precision, titles
from qcore.recipe.pins import pins_text
from qcore.recipe.titles import BUDGET_METHODS, formats_label, title_of
from qcore.report import metrics
from qcore.report.summary import Summary

if TYPE_CHECKING:
    from qcore.precision.table import SensitivityTable

SOLVED = ("knapsack", "kl", "uniform", "random")
"""The methods that can be solved anew while one waits; dMX must be trained."""

SOLUTION = "solution"
"""The choice that shows what is solved, not what was measured."""


def choose_group(found: Sequence[ComparisonGroup]) -> tuple[ComparisonGroup, metrics.Axis]:
    """Which runs are compared, and what they are scored by."""
    by_key = {group.key: group for group in found}
    if "contest" in st.query_params:  # as addresses called it once
        st.query_params["group"] = st.query_params.pop("contest")
    _follow_run(found)
    left, right = st.columns([3, 1])
    key = left.selectbox(
        "Network and text",
        list(by_key),
        key=state.settle(PAGE, "group", list(by_key), _largest(found)),
        format_func=lambda name: by_key[name].label,
        help="Runs that differ in nothing but how a bit budget was spent.",
    )
    group = by_key[key]
    scores = tables.metrics(tables.runs([tables.row(run) for run in group.runs]))
    score = right.selectbox(
        "Quality",
        scores,
        key=state.settle(PAGE, "y", scores, "kl"),
        format_func=metrics.metric_label,
    )
    return group, metrics.quality(score)


def _largest(found: Sequence[ComparisonGroup]) -> str:
    """The group to open with: the one with the most runs, of equals the newest."""
    return max(found, key=lambda group: len(group.runs)).key


def elsewhere(found: Sequence[ComparisonGroup], shown: ComparisonGroup) -> str:
    """How many runs with a budget the shown group leaves out, in words; empty for none."""
    here = {run.id for run in shown.runs}
    others = {run.id for group in found for run in group.budgeted} - here
    if not others:
        return ""
    told = f"{wording.count(len(others), 'more run')} with a budget"
    return f"**{told}** differ in evaluation, network, scales or rounding: see Network and text. "


def _follow_run(found: Sequence[ComparisonGroup]) -> None:
    """Open on the comparison of the run that the address names, `?run=…`."""
    run = st.query_params.get("run", "")
    place = next((c.key for c in found if run in (member.id for member in c.runs)), "")
    if run:
        del st.query_params["run"]
    if place:
        st.session_state[f"{PAGE}.group"] = place
        show(run)
    elif run:
        st.warning(
            f"Run {messages.escape(run[:16])} has spent no bit budget, or is not in the library.",
            icon=":material/info:",
        )


def rules(group: ComparisonGroup, table: SensitivityTable) -> Precision:
    """Choose the rules by which a budget is spent; its budget is the middle of the formats."""
    part = group.part
    method_column, rules_column = st.columns([4, 1], vertical_alignment="bottom")
    default = part.method if part.method in SOLVED else "knapsack"
    method = method_column.segmented_control(
        "Spent by",
        SOLVED,
        key=state.settle(PAGE, "method", SOLVED, default),
        format_func=lambda name: BUDGET_METHODS[name],
        required=True,
        help="Knapsack: the least sum of sensitivities, exactly. KL greedy: the most sensitive "
        "layer is widened first. Uniform: layers in stored order. Random: by the recipe's seed. "
        "dMX is not solved here, it is trained: its measured runs are shown beside these.",
    )
    with rules_column.popover("Rules", icon=":material/rule:", width="stretch"):
        sets = _sets(table.formats)
        formats = st.selectbox(
            "Formats allowed",
            sets,
            key=state.settle(PAGE, "formats", sets, "+".join(part.narrow_to_wide)),
            format_func=lambda text: formats_label(text.split("+")),
        )
        counted = list(_counts(group))
        objective = st.selectbox(
            "A budget counts bits",
            counted,
            key=state.settle(PAGE, "objective", counted, part.objective),
            format_func=lambda name: words.COUNTS[name],
        )
        weighting = st.segmented_control(
            "Mean over",
            ("size", "layers"),
            key=state.settle(PAGE, "weighting", ("size", "layers"), part.weighting),
            format_func=lambda name: {"size": "weights", "layers": "layers"}[name],
            required=True,
        )
        fused = st.toggle(
            "q, k and v share a format; gate and up too",
            key=state.settle(PAGE, "fused", (True, False), part.fused),
            help="As servers that fuse these projections need it.",
        )
        measures = [name for name in words.MEASURES if name != "proxy" or table.proxy]
        measure = st.selectbox(
            "A format costs a layer",
            measures,
            key=state.settle(PAGE, "measure", measures, part.probe.measure),
            format_func=lambda name: words.MEASURES[name][0],
            help=f"Measured on {table.tokens:,} predictions, with that layer alone quantized.",
        )
        pins = typed(group, formats.split("+"))
    names = tuple(formats.split("+"))
    return dataclasses.replace(
        part,
        method=method,
        budget=sum(FORMATS[name].bits for name in (names[0], names[-1])) / 2,
        formats=names,
        objective=objective,
        weighting=weighting,
        fused=fused,
        pins=pins,
        probe=dataclasses.replace(part.probe, measure=measure),
    )


def _sets(formats: Sequence[str]) -> list[str]:
    """Every choice of two formats or more, the largest first."""
    sizes = range(len(formats), min(2, len(formats)) - 1, -1)
    return ["+".join(chosen) for size in sizes for chosen in itertools.combinations(formats, size)]


def _counts(group: ComparisonGroup) -> list[str]:
    acting = group.recipe.activations is not None and group.part.shared
    return [name for name in words.COUNTS if name != "both" or acting]


def choose_budget(reach: tuple[float, float], wanted: float | None) -> float:
    """Choose a budget that pins and formats can meet, in steps of a twentieth of a bit.

    Args:
        reach: the least and the most bits.
        wanted: what to start at.
    """
    low, high = math.ceil(reach[0] * 20 - 1e-6), math.floor(reach[1] * 20 + 1e-6)
    options = [step / 20 for step in range(low, high + 1)]
    if len(options) < 2:
        st.caption(f"Everything is pinned: {reach[1]:.3f} bits.")
        return reach[1]
    # A slider with other ends is another widget: the budget goes over by way of the address.
    key = f"{PAGE}.budget.{low}-{high}"
    if key not in st.session_state:
        kept = st.session_state.get(f"kept.{PAGE}", {})
        given = st.query_params.get("budget", kept.get("budget", wanted))
        try:
            near = (options[0] + options[-1]) / 2 if given is None else float(given)
        except ValueError:
            near = options[0]
        st.session_state[key] = min(options, key=lambda option: abs(option - near))
    return st.slider(
        "Budget: average bits",
        min_value=options[0],
        max_value=options[-1],
        step=0.05,
        format="%.2f",
        key=key,
    )


def shown_run(group: ComparisonGroup) -> str:
    """Whose assignment the maps show: the solver's (`SOLUTION`), or a measured run's id."""
    options = [SOLUTION, *(run.id for run in group.budgeted)]
    return st.session_state[state.settle(PAGE, "show", options)]


def choose_shown(group: ComparisonGroup) -> None:
    """Choose whose assignment the maps show; `shown_run` reads the choice."""
    titles = {run.id: run_label(run) for run in group.budgeted}
    st.selectbox(
        "Assignment shown",
        [SOLUTION, *titles],
        key=f"{PAGE}.show",
        format_func=lambda run: titles.get(run, "solved for the budget above"),
        help="Or click a filled point above.",
    )


def run_label(run: Summary) -> str:
    """`measured: dMX, 4.982 bits · 0123456789abcdef`."""
    reached = run.bits if run.budget_bits is None else run.budget_bits
    method = titles.method(run.recipe)
    seed = f", seed {run.recipe.seed}" if method == "random" else ""
    return f"measured: {method}, {reached:.3f} bits{seed} · {run.id}"


def show(run: str) -> None:
    """Show a measured run's assignment; for callbacks."""
    st.session_state[f"{PAGE}.show"] = run


def choose_colour(part: Precision) -> str:
    """Choose what colours the map of sensitivities: a format's cost, or what widening saves."""
    names = [*part.narrow_to_wide, "saved"]
    return st.selectbox(
        "Sensitivity shown",
        names,
        key=state.settle(PAGE, "colour", names),
        format_func=lambda name: (
            "saved per million bits"
            if name == "saved"
            else f"{words.MEASURES[part.probe.measure][0]} in {words.format_label(name)}"
        ),
        help="Saved per million bits: what the widest format saves over the narrowest, divided by "
        "the bits that it takes. This is what a solver ranks by.",
    )


def submit_buttons(case: Case) -> None:
    """Offer to run the solution, by its method or as pins; link its report if it was run."""
    by_method = allocation.as_recipe(case.group, case.part)
    pins = allocation.as_pins(case.part, case.solved.formats)
    by_pins = allocation.as_recipe(case.group, pins)
    done = {run.recipe.digest: run.id for run in case.group.budgeted}
    with st.container(horizontal=True, vertical_alignment="center"):
        if run := done.get(by_method.digest):
            st.page_link(
                "pages/pareto.py",
                label="Measured already: open its report",
                icon=":material/check:",
                query_params={"runs": run},
            )
        elif st.button(
            "Run this assignment",
            type="primary",
            icon=":material/play_arrow:",
            key=f"{PAGE}.run",
            help=f"Queues {messages.escape(title_of(by_method))} and shows its progress.",
        ):
            summary.submit([by_method])
        if by_pins.digest not in done and st.button(
            "Run it as pins",
            icon=":material/push_pin:",
            key=f"{PAGE}.run.pins",
            help="Queues a manual recipe that names every layer's format, and so gives just this "
            "assignment wherever it is run, without sensitivities.",
        ):
            summary.submit([by_pins])
    servers.forecast([by_pins])


def keep(group: ComparisonGroup, score: metrics.Axis, case: Case | None) -> None:
    """Remember the page as it stands, here and in the address."""
    shown = st.session_state.get(f"{PAGE}.show", SOLUTION)
    chosen = {
        "group": group.key,
        "y": score.column,
        "show": "" if shown == SOLUTION else shown,
    }
    if case is not None:
        part = case.part
        chosen |= {
            "method": part.method,
            "budget": case.budget,
            "formats": "+".join(part.formats),
            "objective": part.objective,
            "weighting": part.weighting,
            "fused": part.fused,
            "measure": part.probe.measure,
            "pins": pins_text(part.pins),
            "colour": st.session_state[f"{PAGE}.colour"],
            "layer": st.session_state[f"{PAGE}.layer"],
        }
    state.keep(PAGE, **chosen)
