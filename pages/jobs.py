"""Jobs: is it moving? Every job with its stages, what it waits for, and what can be done about it.

The page polls: every second while something runs, slowly otherwise. Nothing lives in the session,
so another browser, or this one after a restart, sees the same.
"""

from __future__ import annotations

import streamlit as st

from pages._ui import empty, engine, entry, messages, tab
from pages._ui.jobs import sweeps
from qcore.jobs.protocol import Backend, JobState

_FAST, _SLOW = 1.0, 10.0
_LIVE = (JobState.QUEUED, JobState.RUNNING)


def board(was_active: bool) -> None:
    """All sweeps and jobs, drawn anew at every tick of the clock."""
    with messages.guard():
        queue = engine.backend()
        queue.tick()
        tab.tell()
        tally = queue.tally()
        if is_moving(queue) != was_active:
            st.rerun()  # the clock's pace is set where the fragment is made
        if not tally:
            empty.jobs()
            return
        asked = st.query_params.get("sweep", "")
        if asked:
            sweeps.draw_alone(asked, queue)
        else:
            sweeps.draw(queue, chosen_states(tally))


def is_moving(queue: Backend) -> bool:
    """Whether anything runs or waits."""
    tally = queue.tally()
    return any(tally.get(state) for state in _LIVE)


def chosen_states(tally: dict[JobState, int]) -> list[JobState]:
    """The states to show; none chosen shows all."""
    return st.pills(
        "Show only",
        [state for state in JobState if tally.get(state)],
        selection_mode="multi",
        format_func=lambda state: f"{state} {tally.get(state, 0):,}",
        key="jobs.states",
        label_visibility="collapsed",
    )


entry.through_app()
st.title("Is it moving?")
st.caption(
    "What to notice: a stage marked “cached” cost nothing, another run had paid for it. Jobs go on "
    "when this page, the browser or the dashboard is closed; a stopped one resumes from its last "
    "cached stage."
)
moving = False
with messages.guard():
    moving = is_moving(engine.backend())
st.fragment(board, run_every=_FAST if moving else _SLOW)(moving)
