"""Captures that the cache has lost, whole or in part: said in a sentence, with a way to have them.

A finished run is never computed again; its capture alone can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import messages, wording
from pages._ui.captures import words
from pages._ui.form import summary

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture


def offer_missing(capture: Capture) -> None:
    """Say how much of a capture is missing, and offer the rest; nothing where it is whole."""
    if capture.lost:
        layers = wording.count(capture.lost, "layer")
        st.info(
            f"The cache has lost {layers} of {capture.depth} of this capture.",
            icon=":material/info:",
        )
        button(capture)


def offer_evicted(capture: Capture) -> None:
    """Say that nothing of a capture is left, and offer to have it again."""
    st.warning(
        f"The cache has lost the capture of {messages.escape(words.capture_label(capture))}.",
        icon=":material/info:",
    )
    button(capture)


def button(capture: Capture) -> None:
    """Queue the capture of its newest run, and go to where it can be watched."""
    if st.button(
        "Capture again",
        icon=":material/replay:",
        key=f"captures.again.{capture.key[:12]}",
        help="Queues one job that computes what is missing of it; the finished runs stay as they "
        "are.",
    ):
        summary.submit([capture.recipe], ensure="capture")
