"""The form: widgets to axes. Draws the table of controls section by section, and reads it back.

`fill` puts axes into the widgets; `ask` draws those that count and returns what is chosen, with
what is wrong, by path. A knob that is not drawn keeps its values.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from pages._ui import messages
from pages._ui.form import memory, places, widgets
from pages._ui.form.control import Control, Section
from pages._ui.form.controls import CONTROLS, LAYOUT
from qcore.errors import QuantscopeError
from qcore.recipe.axes import Axes, counting
from qcore.recipe.faults import faults_of
from qcore.recipe.sweep import RefusedRun


def fill(axes: Axes) -> None:
    """Put these values into every widget. Only before the widgets are drawn, as in a callback."""
    memory.keep(axes)
    memory.several().clear()
    for widget, value in widgets.held(axes, set()).items():
        st.session_state[widget] = value


def ask() -> tuple[Axes, dict[str, QuantscopeError]]:
    """Draw all knobs that count, and return what is chosen and what cannot stand."""
    kept = memory.axes()
    for widget, value in widgets.held(kept, memory.several()).items():
        st.session_state.setdefault(widget, value)
    axes, wrong = widgets.read(st.session_state, kept)
    counted = counting(axes)
    faults = {**places.faults_of(axes, counted), **faults_of(axes), **wrong}
    widgets.quiet()
    for row in LAYOUT:
        for column, section in zip(st.columns(len(row)), row, strict=True):
            with column:
                _draw(section, axes, counted, faults)
    memory.keep(axes)
    return axes, {path: error for path, error in faults.items() if path in counted}


def _draw(
    section: Section, axes: Axes, counted: set[str], faults: Mapping[str, QuantscopeError]
) -> None:
    """A titled box with the controls that count; nothing else may be chosen in it."""
    with st.container(border=True):
        st.markdown(f"**{section.title}** &nbsp;:gray[{section.lead}]")
        for row in section.rows:
            _draw_row(row, axes, counted, faults)
        for title, rows in section.folds:
            inside = [control.path for row in rows for control in row]
            if counted.intersection(inside):
                with st.expander(title, expanded=any(path in faults for path in inside)):
                    for row in rows:
                        _draw_row(row, axes, counted, faults)
        if section.note:
            section.note(axes)


def _draw_row(
    row: tuple[Control, ...],
    axes: Axes,
    counted: set[str],
    faults: Mapping[str, QuantscopeError],
) -> None:
    drawn = [
        control
        for control in row
        if control.path in faults
        or (control.path in counted and control.where(axes))
        or _always(control)
    ]
    if not drawn:
        return
    for column, control in zip(st.columns(len(drawn)), drawn, strict=True):
        with column:
            widgets.draw(control, axes, faults)


def _always(control: Control) -> bool:
    """Whether a control is drawn also where no run asks for it: a choice may bring it back."""
    return control.path == "weights.format"


def refusal(faults: Mapping[str, QuantscopeError]) -> str:
    """Which fields keep the sweep from being run; empty where none does."""
    labels = [CONTROLS[path].label for path in CONTROLS if path in faults]
    if not labels:
        return ""
    what = "1 field needs" if len(labels) == 1 else f"{len(labels)} fields need"
    return f"{what} another value: {messages.escape(', '.join(labels))}."


def combination(error: QuantscopeError) -> str:
    """Why a run of the sweep is refused, and which run: in the form's words."""
    if not isinstance(error, RefusedRun):
        return messages.sentence(error)
    at = [
        f"{CONTROLS[path].label} {CONTROLS[path].name(value)}"
        for path, value in error.at.items()
        if path in CONTROLS and not isinstance(value, dict | list)
    ]
    where = f" At {messages.escape(', '.join(at))}." if at else ""
    return messages.sentence(error.reason) + where
