"""A control as widgets: what it offers, what it holds, and what is wrong with it.

Clicking chooses one value; a knob takes several after *+ several*, which stands as the last choice
of its row, or when it was filled with several. A row of pills thus always holds a list, in which
`SEVERAL` says that the list may be long. Typed knobs take several by commas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages._ui import messages
from pages._ui.form import memory
from pages._ui.form.control import Control
from pages._ui.form.controls import CONTROLS, SORTS
from pages._ui.form.values import TYPED, meant, shown
from qcore.errors import InvalidRecipe, QuantscopeError
from qcore.recipe.axes import Axes
from qcore.recipe.titles import format_label

SEVERAL = "+"
"""The pill that lets a knob take several values."""


def key(path: str) -> str:
    """The widget that asks for a path."""
    return f"knob.{path}"


def keys(control: Control) -> list[str]:
    """All widgets of a control: formats have a row for each sort."""
    if control.kind == "formats":
        return [f"{key(control.path)}/{sort}" for sort in SORTS]
    return [key(control.path)]


def held(axes: Axes, several: set[str]) -> dict[str, Any]:
    """What every widget holds for these axes, by its key."""
    values: dict[str, Any] = {}
    for path, control in CONTROLS.items():
        mark = [SEVERAL] if path in several or _is_many(control, axes[path]) else []
        if control.kind == "formats":
            for sort, (_, _, names) in SORTS.items():
                chosen = [name for name in axes[path] if name in names]
                values[f"{key(path)}/{sort}"] = chosen + (mark if sort == "none" else [])
        elif control.kind in (*TYPED, "words", "tasks"):
            values[key(path)] = shown(control, axes[path])
        else:
            values[key(path)] = shown(control, axes[path]) + mark
    return values


def _is_many(control: Control, values: Sequence[Any]) -> bool:
    return len(values) > 1 and _is_marked(control)


def read(session: Mapping[Any, Any], kept: Axes) -> tuple[dict[str, Any], dict[str, InvalidRecipe]]:
    """The axes that the widgets mean, and what was typed wrong, by path.

    A knob that is not drawn, or that says nothing readable, keeps its values.
    """
    axes: dict[str, tuple[Any, ...]] = {}
    wrong: dict[str, InvalidRecipe] = {}
    for path, control in CONTROLS.items():
        boxes = keys(control)
        axes[path] = kept[path]
        if not all(box in session for box in boxes):
            continue
        try:
            if control.kind in TYPED:
                axes[path] = meant(control, session[boxes[0]])
            else:
                chosen = [item for box in boxes for item in session[box] if item != SEVERAL]
                axes[path] = meant(control, chosen)
        except InvalidRecipe as error:
            wrong[path] = error
    return axes, wrong


def quiet() -> None:
    """Let the last pill of a row, which takes several values, stand back behind the values."""
    names = (keys(control)[0] for control in CONTROLS.values() if _is_marked(control))
    classes = (
        "".join(sign if sign.isalnum() or sign == "_" else "-" for sign in name) for name in names
    )
    marked = [f"[class*='st-key-{name}'] button:last-of-type" for name in classes]
    st.html(
        f"<style>:is({', '.join(marked)}):not([data-selected])"
        " { border-color: transparent; opacity: .75; padding-inline: .25rem; }</style>"
    )


def _is_marked(control: Control) -> bool:
    return control.kind not in (*TYPED, "words", "tasks")


def draw(control: Control, axes: Axes, faults: Mapping[str, QuantscopeError]) -> None:
    """Draw a control, with what is wrong with it below."""
    path, many = control.path, len(axes[control.path])
    label = control.label
    if _is_many(control, axes[path]):
        label += f" :blue-badge[×{many}]"
    match control.kind:
        case "numbers" | "pins":
            st.text_input(
                label,
                key=key(path),
                placeholder=control.hint,
                help=f"{control.help} Commas separate several values.",
            )
        case "words":
            _words(control, label, axes)
        case "formats":
            _formats(control, many)
        case "tasks":
            names = {name: control.name(name) for name in control.offered}
            _pills(key(path), label, control.help, names, None)
        case _:
            offered = dict.fromkeys([*control.offered, *shown(control, axes[path])])
            names = {value: control.name(value) for value in offered}
            _pills(key(path), label, control.help, names, path)
            if control.kind == "texts":
                _file_box(control)
    if fault := faults.get(path):
        st.markdown(f":red[:material/error: {messages.sentence(fault)}]")


def _pills(
    box: str, label: str, help_text: str, names: dict[Any, str], path: str | None, mark: bool = True
) -> None:
    """A row of values. `path` chooses one of them, or several where its mark is set."""
    marked = {**names, SEVERAL: ":material/add: several"} if path and mark else names
    st.pills(
        label,
        list(marked),
        selection_mode="multi",
        format_func=lambda option: marked[option],
        key=box,
        help=help_text or None,
        on_change=settle if path else None,
        args=(path,) if path else None,
        wrap=True,
    )


def settle(path: str) -> None:
    """Keep one value where several are not asked for: the one that was clicked last."""
    control, kept = CONTROLS[path], memory.axes()[path]
    boxes = keys(control)
    chosen = [item for box in boxes for item in st.session_state[box]]
    if SEVERAL in chosen:
        memory.several().add(path)
        return
    memory.several().discard(path)
    before = shown(control, kept)
    new = [item for item in chosen if item not in before]
    one = (new or chosen or before)[-1 if new else 0 :][:1]
    for box in boxes:
        names = SORTS[box.rpartition("/")[2]][2] if control.kind == "formats" else one
        st.session_state[box] = [item for item in one if item in names]


def _formats(control: Control, many: int) -> None:
    what = "Weights" if control.path.startswith("weights") else "Activations"
    for sort, (label, help_text, names) in SORTS.items():
        called = {name: format_label(name) for name in names if name}
        if sort == "none":
            label = control.label + (f" :blue-badge[×{many}]" if many > 1 else "")
            called = {None: f"{what} in float"}
        _pills(
            f"{key(control.path)}/{sort}",
            label if sort == "none" else f"{what}: {label}",
            help_text or control.help,
            called,
            control.path,
            mark=sort == "none",
        )


def _words(control: Control, label: str, axes: Axes) -> None:
    st.multiselect(
        label,
        [value for value in axes[control.path] if value],
        key=key(control.path),
        accept_new_options=True,
        placeholder=f"Type one, such as {control.hint}, and press Enter",
        help=control.help,
        select_all=False,
    )


def _file_box(control: Control) -> None:
    """A box that chooses a text file by its path; a file that is not chosen is forgotten."""
    box = f"{key(control.path)}/file"

    def add() -> None:
        path = st.session_state[box].strip()
        if not path:
            return
        text = path if path.startswith("file:") else f"file:{path}"
        pills = st.session_state[key(control.path)]
        mark = [SEVERAL] if SEVERAL in pills else []
        others = [value for value in pills if value not in (SEVERAL, text)] if mark else []
        memory.keep({**memory.axes(), control.path: (*others, text)})
        st.session_state[key(control.path)] = [*others, text, *mark]
        st.session_state[box] = ""

    st.text_input(
        f"{control.label}: a file of mine",
        key=box,
        on_change=add,
        placeholder="Or the path of a text file, then Enter",
        label_visibility="collapsed",
    )
