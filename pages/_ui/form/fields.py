"""The form's widgets: each belongs to one knob, by its name, and holds a list of values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages._ui.form import state
from pages._ui.form.knob_parts import NONE
from pages._ui.form.knobs import Knobs
from pages._ui.form.values import key
from qcore.recipe import TEXTS, titles


def section(title: str, lead: str):
    """A titled box to draw in."""
    container = st.container(border=True)
    container.markdown(f"**{title}** &nbsp;:gray[{lead}]")
    return container


def pills(
    name: str,
    label: str,
    options: Sequence[Any],
    labels: dict[Any, str] | None = None,
    help_text: str | None = None,
    *,
    hide_label: bool = False,
) -> None:
    """Choices, any number of them; `labels` names those that do not speak for themselves."""
    names = labels or {}
    st.pills(
        label,
        options,
        selection_mode="multi",
        format_func=lambda option: names.get(option, str(option)),
        key=key(name),
        help=help_text,
        label_visibility="collapsed" if hide_label else "visible",
        wrap=True,
    )


def typed(name: str, label: str, kept: Knobs, help_text: str, example: str) -> None:
    """Words that people type, each an entry of its own."""
    st.multiselect(
        label,
        [value for value in getattr(kept, name) if value],
        key=key(name),
        accept_new_options=True,
        placeholder=f"Type one, such as {example}, and press Enter",
        help=help_text,
        select_all=False,
    )


def typed_numbers(name: str, label: str, help_text: str, placeholder: str = "") -> None:
    """Numbers, typed, with commas between them."""
    st.text_input(
        label,
        key=key(name),
        placeholder=placeholder,
        help=f"{help_text} Commas separate several values.",
    )


def file_text(field: str) -> None:
    """A box that adds a file's path to the texts."""

    def add() -> None:
        path = st.session_state[f"{key(field)}/file"].strip()
        if path:
            text = path if path.startswith("file:") else f"file:{path}"
            values = dict.fromkeys([*st.session_state[key(field)], text])
            kept = dataclasses.replace(state.knobs(), **{field: tuple(values)})
            state.keep_knobs(kept)
            st.session_state[key(field)] = list(values)
            st.session_state[f"{key(field)}/file"] = ""

    st.text_input(
        "Add a text file",
        key=f"{key(field)}/file",
        on_change=add,
        placeholder="Or the path of a text file, then Enter",
        label_visibility="collapsed",
    )


def texts(kept: Sequence[str]) -> list[str]:
    """The known texts, then the files among those kept."""
    return [*TEXTS, *(text for text in kept if text not in TEXTS and text != NONE)]


def text_names(kept: Sequence[str], more: dict[str, str] | None = None) -> dict[str, str]:
    """Texts as people call them."""
    return {text: titles.text_label(text) for text in texts(kept)} | (more or {})
