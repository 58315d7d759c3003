"""The card beside the form: what the sweep would do and cost, and the button that submits it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages._ui import engine, messages, servers, wording
from pages._ui.form.presets import DEMO, PRESETS
from pages._ui.runs import fields
from qcore.errors import QuantscopeError
from qcore.machine.devices import devices
from qcore.recipe import Recipe
from qcore.recipe.axes import flatten
from qcore.recipe.titles import title_of


def draw(recipes: Sequence[Recipe], refusal: str) -> None:
    """Counts, time, and the button; or the sentence that says why there is none to press."""
    st.metric("Runs in this sweep", f"{len(recipes):,}" if not refusal else "–")
    if not refusal:
        refusal = _price(recipes)
    pressed = st.button(
        f"Run all {len(recipes)}" if len(recipes) > 1 else "Run it",
        type="primary",
        icon=":material/play_arrow:",
        disabled=bool(refusal),
        width="stretch",
        key="submit",
        shortcut="Ctrl+Enter",
    )
    st.html(_SHORTCUT, unsafe_allow_javascript=True)
    if refusal:
        st.error(refusal, icon=":material/block:")
    if pressed:
        submit(recipes)
    if not refusal:
        servers.forecast(recipes)
    if len(recipes) > 1:
        with st.expander("Which runs", type="compact"):
            st.dataframe(
                pd.DataFrame({"Run": _titles(recipes)}),
                hide_index=True,
                height=min(38 + 35 * len(recipes), 420),
            )


_SHORTCUT = """<script>
if (!window.quantscopeRuns) {
  window.quantscopeRuns = true;
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    const run = document.querySelector(".st-key-submit button:not(:disabled)");
    if (!run || !event.target.closest?.("button")) return;
    event.preventDefault();
    event.stopPropagation();
    run.click();
  }, true);
}
</script>"""
"""A button that has the focus, such as the pill that was clicked last, keeps Enter to itself, with
Ctrl too: Streamlit's own shortcut never hears of it."""


def _titles(recipes: Sequence[Recipe]) -> list[str]:
    titles = [title_of(recipe) for recipe in recipes]
    models = [recipe.model.name or recipe.model.source for recipe in recipes]
    return fields.apart(titles, [flatten(recipe) for recipe in recipes], models)


def submit(recipes: Sequence[Recipe], *, ensure: str = "") -> None:
    """Queue the recipes, or one stage of each, and go to where they can be watched."""
    with messages.guard():
        queue(recipes, ensure=ensure)
        st.switch_page("pages/jobs.py")


def queue(recipes: Sequence[Recipe], *, ensure: str = "", name: str = "") -> None:
    """Queue the recipes, or one stage of each, and stay where one is.

    Args:
        recipes: what to run.
        ensure: the one stage of each; empty for whole runs.
        name: of the sweep; that of the preset whose runs these are where nothing is said.
    """
    engine.backend().submit(recipes, ensure=ensure, name=name or _name(recipes))


def _name(recipes: Sequence[Recipe]) -> str:
    """The name of the preset whose runs these are; empty where they are none's."""
    wanted = {recipe.digest for recipe in recipes}
    named = (p.name for p in (DEMO, *PRESETS) if {r.digest for r in p.recipes()} == wanted)
    return next(named, "") if len(wanted) > 1 else ""


def keep_in_view(key: str) -> None:
    """Let the card stay in view while the form beside it scrolls."""
    st.html(
        f"<style>@media (min-width: 760px) {{"
        f" [data-testid=stLayoutWrapper]:has(> .st-key-{key})"
        " { position: sticky; top: 4rem; } }</style>"
    )


def _price(recipes: Sequence[Recipe]) -> str:
    """Draw what is finished, cached and still to be paid; return why it cannot be run, or ''."""
    try:
        with st.spinner("Looking into the cache …"):
            cost = engine.preview(recipes)
    except QuantscopeError as error:
        return messages.sentence(error)
    left = cost.runs - cost.finished
    taken = estimate(cost.seconds, left, cost.timed, cost.untimed, cost.probes)
    lines = [f":material/schedule: Takes **{taken}**"]
    if cost.memory:
        lines.append(f":material/memory: Needs about **{wording.memory(cost.memory)}** of memory")
    if cost.disk:
        lines.append(
            f":material/hard_drive: Writes about **{wording.size(cost.disk)}** to the cache"
        )
    if cost.unseen:
        names = messages.escape(", ".join(cost.unseen))
        lines.append(f":material/cloud_download: Not looked at yet: **{names}**")
    if cost.finished:
        lines.append(f":material/check: **{cost.finished} of {cost.runs}** finished already")
    if cost.stages:
        stages = wording.count(cost.stages, "stage")
        lines.append(f":material/bolt: **{cost.cached} of {stages}** in the cache")
    if cost.shared:
        lines.append(f":material/share: **{wording.count(cost.shared, 'stage')}** shared by runs")
    st.markdown("  \n".join(lines), help=_HELP)
    for note in cost.notes:
        st.caption(f":material/info: {messages.escape(note)}")
    room = min(device.memory_bytes for device in devices() if device.name == "cpu")
    if cost.memory and cost.memory > room:
        st.warning(
            f"This machine has {wording.memory(room)} of memory: the run may be ended by the "
            "system. Choose bfloat16, shorter calibration, or a smaller model.",
            icon=":material/memory:",
        )
    return ""


_HELP = (
    "Finished: exact repeats, whose report is returned at once. A stage – loading, capturing, "
    "quantizing, evaluating – is computed once and kept, whichever run needs it. The time is "
    "learned from past runs on this machine. Memory is that of the hungriest run: the network, its "
    "changed weights, and the largest of capture, rounding and evaluation, corrected by what past "
    "runs of the same model really took. Disk is what new cache entries add. A Hub model that is "
    "not on this machine is looked at when the run downloads it."
)


def estimate(
    seconds: float | None,
    left: int,
    timed: float = 0.0,
    untimed: Sequence[str] = (),
    probes: int = 0,
) -> str:
    """`about 6 min`, or `at least 2 min; never timed here: sensitivity (465 probes)`.

    Args:
        seconds: that all takes; None where a stage was never timed.
        left: runs that have not finished.
        timed: seconds of the stages that were timed.
        untimed: the names of the others.
        probes: what those that measure sensitivities count up to; 0 where nobody knows.
    """
    if not left:
        return "a moment: nothing is left to compute"
    if seconds is not None:
        return "a few seconds" if seconds < 5 else f"about {wording.duration(seconds)}"
    counts = Counter(untimed)
    unknown = ", ".join(
        f"{name} ({wording.count(probes, 'probe')})"
        if name == "sensitivity" and probes
        else (name if many == 1 else f"{name} ({many} stages)")
        for name, many in counts.items()
    )
    if not unknown:
        return "an unknown time: nothing like it ran here yet"
    least = f"at least {wording.duration(timed)}" if timed >= 1 else "an unknown time"
    return f"{least}; never timed here: {unknown}"
