"""Texts side by side: one prompt, continued by the float network and by each run. Jobs do it.

What was said stands in the cache; what was not is queued on a click and shown as it grows. A
fragment of its own looks for news while a job is on its way.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages._ui import downloads, engine, messages, palette, wording
from pages._ui.compare import words
from pages._ui.compare.tokens import drawn
from pages._ui.form import summary
from qcore.jobs.protocol import Job, JobState
from qcore.recipe import Recipe
from qcore.recipe.titles import short_title_of
from qcore.report.report import Report

if TYPE_CHECKING:
    from qcore.evaluation.continuation import Continuation

PROMPTS = (
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "To sort a list of numbers in Python, you can",
)
"""Offered: a fact, a story, an instruction."""

_POLL_SECONDS = 2.0
_PROMPT, _OFFERED, _KEPT = "compare.prompt", "compare.offered", "kept.compare.prompt"


@dataclass(frozen=True, slots=True)
class Speaker:
    """One network that continues the prompt.

    Attributes:
        name: `Float`, or a run's letter.
        title: of its recipe; of the float network, which runs are nothing else.
        recipe: what a job would run.
        said: what it says; None where that is not known yet.
        job: the newest job that was to find out; None without one.
    """

    name: str
    title: str
    recipe: Recipe
    said: Continuation | None
    job: Job | None

    @property
    def is_asked(self) -> bool:
        """Whether a job is on its way."""
        return self.said is None and self.job is not None and not self.job.state.ended


def draw(reports: Sequence[Report]) -> None:
    """Draw the prompt, and what each network makes of it."""
    texts = [
        (place, report) for place, report in enumerate(reports) if report.recipe.suffix is None
    ]
    if not texts:
        return
    st.subheader("Text side by side", anchor=False)
    st.session_state.setdefault(_PROMPT, st.session_state.get(_KEPT, PROMPTS[0]))
    st.pills(
        "Offered prompts",
        PROMPTS,
        key=_OFFERED,
        on_change=_take,
        format_func=messages.escape,
        label_visibility="collapsed",
    )
    prompt = st.text_area(
        "Prompt",
        key=_PROMPT,
        height=80,
        help="Each network continues it by up to 64 tokens, always with the most likely one.",
    )
    st.session_state[_KEPT] = prompt
    with messages.guard():
        _require(prompt, texts[0][1].recipe)
        moving = any(speaker.is_asked for speaker in _speakers(texts, prompt))
        st.fragment(_texts, run_every=_POLL_SECONDS if moving else None)(texts, prompt, moving)


def _take() -> None:
    """Write the offered prompt that was clicked into the text."""
    offered = st.session_state[_OFFERED]
    if offered is not None:
        st.session_state[_PROMPT] = offered


def _require(prompt: str, recipe: Recipe) -> None:
    from qcore.analysis.continuations import stage_name
    from qcore.pipeline import require_stage
    from qcore.pipeline.stage import require_prompt

    require_prompt(prompt)
    require_stage(recipe, stage_name(prompt))


def _texts(texts: Sequence[tuple[int, Report]], prompt: str, moving: bool) -> None:
    speakers = _speakers(texts, prompt)
    missing = [item for item in speakers if item.said is None and not item.is_asked]
    still = any(item.is_asked for item in speakers)
    if moving and not still:
        st.rerun()  # the last one ended: the page need not look for news any more
    base = speakers[0].said
    for speaker in speakers:
        _speaker(speaker, base)
    if missing:
        _ask(missing, prompt)
    if base is not None and not missing and not still:
        st.caption(
            "Marked: the first token that differs from the float network's. From there on each "
            "network reads its own text, so what follows shows how it goes on, not how wrong it is."
        )
        downloads.table(st.container(horizontal=True), table(speakers), "compare-texts")


def table(speakers: Sequence[Speaker]) -> pd.DataFrame:
    """What was said, with how much of it is the float network's."""
    base = speakers[0].said
    assert base is not None
    rows = []
    for speaker in speakers:
        assert speaker.said is not None
        equal, of = shares(speaker.said, base)
        rows.append(
            {
                "Network": f"{speaker.name} {speaker.title}".strip(),
                "Equal prefix": f"{equal} of {of} tokens",
                "Text": "".join(speaker.said.pieces),
            }
        )
    return pd.DataFrame(rows)


def shares(said: Continuation, base: Continuation) -> tuple[int, int]:
    """How many tokens are the float network's from the start, of how many it could be."""
    from qcore.evaluation.continuation import equal_prefix

    return equal_prefix(said, base), max(len(said.tokens), len(base.tokens))


def markup(said: Continuation, equal: int) -> str:
    """The text as HTML, its first other token marked; text whatever it contains."""
    pieces = [html.escape(drawn(piece)) for piece in said.pieces]
    before, after = "".join(pieces[:equal]), "".join(pieces[equal + 1 :])
    other = f"<mark>{pieces[equal]}</mark>" if equal < len(pieces) else ""
    end = " ∎" if said.ended else ""
    style = (
        f"<style>.said mark{{background:{palette.translucent(palette.CLIPPED, 0.35)};"
        "color:inherit;border-radius:.15rem}.said{white-space:pre-wrap;overflow-wrap:anywhere}"
        "</style>"
    )
    return f'{style}<div class="said" dir="ltr">{before}{other}{after}{end}</div>'


def _speakers(texts: Sequence[tuple[int, Report]], prompt: str) -> list[Speaker]:
    from qcore.analysis import continuations

    cache, first = engine.cache(), texts[0][1]
    asked = continuations.stage_name(prompt)
    newest: dict[Recipe, Job] = {}
    for job in engine.backend().jobs():
        if job.ensure == asked:
            newest.setdefault(job.recipe, job)

    def speaker(name: str, title: str, recipe: Recipe, said: Continuation | None) -> Speaker:
        return Speaker(name, title, recipe, said, newest.get(recipe))

    said = continuations.said_by_float(first, prompt, cache)
    plain = [words.LETTERS[place] for place, report in texts if continuations.is_float(report)]
    title = f"which is {wording.enumeration(plain)}" if plain else ""
    found = [speaker("Float", title, continuations.float_recipe(first), said)]
    for place, report in texts:
        if continuations.is_float(report):
            continue
        said = continuations.said_by_run(report, prompt, cache)
        title = short_title_of(report.recipe)
        found.append(speaker(words.LETTERS[place], title, report.recipe, said))
    return found


def _speaker(speaker: Speaker, base: Continuation | None) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            title = f" {messages.escape(speaker.title)}" if speaker.title else ""
            st.markdown(f"**{speaker.name}**{title}")
            if speaker.said is not None and base is not None and speaker.name != "Float":
                equal, of = shares(speaker.said, base)
                st.markdown(
                    "all of it as the float network"
                    if equal == of
                    else f"equal for {equal} of {wording.count(of, 'token')} "
                    f"({100 * equal / of:.0f} %)",
                    width="content",
                )
        if speaker.said is not None:
            equal = len(speaker.said.tokens) if base is None else shares(speaker.said, base)[0]
            st.html(markup(speaker.said, equal))
        else:
            _on_its_way(speaker)


def _on_its_way(speaker: Speaker) -> None:
    job = speaker.job
    if job is None:
        st.caption("Not asked yet.")
    elif not speaker.is_asked:
        if job.state is JobState.FAILED:
            st.error(messages.escape(job.message), icon=":material/error:")
        else:
            st.caption("Cancelled." if job.state is JobState.CANCELLED else "Evicted since.")
    else:
        with st.container(horizontal=True, vertical_alignment="center"):
            done = f"{job.done} of {job.total}: " if job.total else ""
            st.caption(f"{job.state}: {done}{messages.escape(job.message)}")
            if st.button("Cancel", icon=":material/stop_circle:", key=f"compare.stop.{job.id}"):
                with messages.guard():
                    engine.backend().cancel(job.id)
                    st.rerun()


def _ask(missing: Sequence[Speaker], prompt: str) -> None:
    from qcore.analysis.continuations import stage_name

    names = wording.enumeration([item.name for item in missing])
    if st.button(
        f"Continue the text with {names}",
        icon=":material/play_arrow:",
        key="compare.ask",
        help="Queues one job for each network; codes and captures that are cached are used.",
    ):
        with messages.guard():
            recipes = list(dict.fromkeys(item.recipe for item in missing))
            summary.queue(recipes, ensure=stage_name(prompt))
            st.rerun()
