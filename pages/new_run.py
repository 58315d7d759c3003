"""New run: what shall I try? Knobs to a sweep, its price, and the button that submits it."""

from __future__ import annotations

import streamlit as st

from pages._ui import engine, entry, messages, state
from pages._ui.form import form, memory, summary
from pages._ui.form.presets import PRESETS
from qcore.errors import InvalidRecipe, QuantscopeError
from qcore.recipe import Recipe
from qcore.recipe.axes import axes_of, recipes_of, sweep
from qcore.recipe.sweep import expand, sweep_text
from qcore.serialization import parse_json


def start_from_preset() -> None:
    """Fill the form from the chosen preset."""
    chosen = next((p for p in PRESETS if p.name == st.session_state["preset"]), None)
    form.fill(axes_of(chosen.recipes() if chosen else [Recipe()]))


def start_from_file() -> None:
    """Fill the form from an uploaded recipe or sweep."""
    file = st.session_state["recipe.file"]
    if file is None:
        return
    try:
        fill_from(expand(parse_json(file.getvalue().decode("utf-8"))), file.name)
    except UnicodeDecodeError:
        error = InvalidRecipe(f"{file.name} is not UTF-8 text", remedy="upload a recipe's JSON")
        st.session_state["start.problem"] = messages.sentence(error)
    except QuantscopeError as error:
        st.session_state["start.problem"] = messages.sentence(error)


def fill_from(recipes: list[Recipe], source: str) -> None:
    """Fill the form, and say so when its product of values is more than was asked for."""
    axes = axes_of(recipes)
    form.fill(axes)
    st.session_state["preset"] = None
    st.session_state["start.note"] = f"Started from {messages.escape(source)}."
    offered = len(recipes_of(axes))
    if offered != len(recipes):
        st.session_state["start.note"] += (
            f" It lists {len(recipes)} runs that are no full product; as knobs they make {offered}."
        )


def clone(name: str) -> None:
    """Fill the form from a finished run, or from a job that has no report."""
    with messages.guard():
        recipe, source = engine.recipe_of(name)
        fill_from([recipe], source)


entry.through_app()
st.title("What shall I try?")
st.caption(
    "Every knob may take several values (+ several, or commas): the form is a sweep, and runs that "
    "share a stage share its work. What to notice: the counts beside the form follow each click, "
    "before anything runs."
)
if request := state.clone_request():
    clone(request)
elif asked := memory.opened():
    form.fill(asked)

presets, upload = st.columns([5, 1], vertical_alignment="bottom")
presets.pills(
    "Start from",
    [preset.name for preset in PRESETS],
    key="preset",
    on_change=start_from_preset,
    help="Fills the form; change what you like. Unselect it to go back to the defaults.",
    wrap=True,
)
with upload.popover("From a file", icon=":material/upload_file:", width="stretch"):
    st.file_uploader(
        "A recipe or a sweep, as JSON", type="json", key="recipe.file", on_change=start_from_file
    )
if problem := st.session_state.pop("start.problem", ""):
    st.error(problem, icon=":material/error:")
if chosen := next((p for p in PRESETS if p.name == st.session_state.get("preset")), None):
    st.caption(chosen.question)
elif note := st.session_state.get("start.note", ""):
    st.caption(note)

summary.keep_in_view("summary")
left, aside = st.columns([7, 3], gap="large")
with left:
    axes, faults = form.ask()
memory.write_address(axes)
recipes: list[Recipe] = []
asked_for, refusal = None, form.refusal(faults)
if not faults:
    try:
        asked_for = sweep(axes)
        recipes = expand(asked_for)
    except QuantscopeError as error:
        refusal = form.combination(error)
with aside.container(border=True, key="summary"):
    summary.draw(recipes, refusal)
    st.download_button(
        "Recipe JSON",
        sweep_text(asked_for) if asked_for else "",
        file_name="sweep.json" if len(recipes) > 1 else "recipe.json",
        mime="application/json",
        icon=":material/download:",
        disabled=bool(refusal),
        on_click="ignore",
        help="Runs from the command line too: python -m qcore sweep sweep.json",
        width="stretch",
    )
