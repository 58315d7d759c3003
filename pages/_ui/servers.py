"""Which servers could run something: one line each, with what stands in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from pages._ui import messages, wording
from qcore.export.rules import TARGETS, servability
from qcore.export.verdict import Verdict
from qcore.recipe import Recipe

ICONS = {
    "exact": ":material/verified:",
    "smoke-tested": ":material/task_alt:",
    "unverified": ":material/help:",
    "refused": ":material/block:",
}
SAID = {
    "exact": "exact",
    "smoke-tested": "smoke-tested",
    "unverified": "loads by its rules, not verified here",
    "refused": "cannot serve it",
}
"""Verdicts as people read them."""

_MOST = 2000
"""Runs of a sweep that are looked at."""


def forecast(recipes: Sequence[Recipe]) -> None:
    """Say before anything runs which servers could run the results, and what stands in the way."""
    st.markdown("**Servable by**", help=_HELP)
    asked = recipes[:_MOST]
    found = [{each.target: each for each in servability(recipe)} for recipe in asked]
    for target in TARGETS:
        st.caption(_line(target, [verdicts[target] for verdicts in found]))


def line(verdict: Verdict) -> str:
    """One verdict as Markdown."""
    why = messages.escape(verdict.why)
    return f"{ICONS[verdict.word]} **{verdict.target}**: {SAID[verdict.word]}: {why}"


def _line(target: str, verdicts: Sequence[Verdict]) -> str:
    refused = [verdict for verdict in verdicts if verdict.word == "refused"]
    if len(verdicts) == 1:
        (one,) = verdicts
        said = "no" if refused else "yes"
        return f"{ICONS[one.word]} **{target}**: {said}, {messages.escape(one.why)}"
    runs = wording.count(len(verdicts), "run")
    if not refused:
        return f"{ICONS['unverified']} **{target}**: all {runs}"
    why, _ = Counter(verdict.why for verdict in refused).most_common(1)[0]
    icon = ICONS["refused" if len(refused) == len(verdicts) else "unverified"]
    could = len(verdicts) - len(refused)
    return f"{icon} **{target}**: {could} of {runs}; mostly because {messages.escape(why)}"


_HELP = (
    "By the servers' documented rules; an export is verified with the servers' own code once it is "
    "written (page Export). Nothing here keeps a run from being made."
)
