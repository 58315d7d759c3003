"""Export: how do I serve this? A finished run as files, and what its readers say of them."""

from __future__ import annotations

import streamlit as st

from pages._ui import columns, empty, engine, entry, live, messages, state
from pages._ui.export import view
from pages._ui.export.engine import LAYOUTS
from qcore.recipe.titles import title_of

_PAGE = "export"


def choose_run() -> str:
    """Choose one of the runs that have codes; empty where there is none."""
    table = engine.runs()
    rows = zip(*(columns.words(table, name) for name in ("id", "title", "weights")), strict=True)
    names = {run: f"{title} · {run[:6]}" for run, title, weights in rows if weights != "float"}
    if not names:
        return ""
    return str(
        st.selectbox(
            "Run",
            list(names),
            format_func=lambda run: messages.escape(names[run]),
            key=state.settle(_PAGE, "run", list(names)),
        )
    )


def choose_layout() -> str:
    """Choose who shall read it."""
    return st.radio(
        "Layout",
        list(LAYOUTS),
        format_func=LAYOUTS.__getitem__,
        key=state.settle(_PAGE, "to", list(LAYOUTS)),
        horizontal=True,
    )


entry.through_app()
st.title("How do I serve this?")
st.caption(
    "Codes and scales are written as the run left them; nothing is quantized again. What to "
    "notice: a verdict is said after writing, by the readers' own code, in a process that sees "
    "the files alone. Before that it is what their rules promise."
)
with messages.guard():
    live.follow(redraw=engine.runs().empty)
    run = "" if engine.runs().empty else choose_run()
    if not run:
        empty.runs()
    else:
        layout = choose_layout()
        report = engine.index().get(run)
        state.keep(_PAGE, run=run, to=layout)
        refusal = view.refusal(report, layout)
        if refusal:
            st.error(messages.escape(f"It cannot be written: {refusal}."), icon=":material/block:")
        else:
            view.foretell(report, layout)
            name = st.text_input(
                "Folder",
                f"{report.id[:8]}-{layout}",
                key=f"{_PAGE}.name.{run}.{layout}",
                help="Under exported/ in Quantscope's home folder. The command line writes "
                "anywhere: python -m qcore export ID --out FOLDER",
            )
            st.button(
                "Export",
                type="primary",
                icon=":material/upload:",
                on_click=view.begin,
                args=(report, layout, name),
                help=messages.escape(title_of(report.recipe)),
            )
        if problem := st.session_state.pop("export.problem", ""):
            st.error(problem, icon=":material/error:")
        view.follow(run)
