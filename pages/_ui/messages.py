"""Expected errors as sentences on the page, and outside text that Markdown leaves as it is.

Whatever comes from a model folder, a report, a job or an address goes through `escape` before a
Streamlit element that reads Markdown, and through `plotly_text` before a figure. Streamlit rewrites
text even after Markdown was read (`:material/x:`, bare links, `--`), which no backslash stops: an
invisible word joiner does.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from qcore.errors import QuantscopeError

_JOINER = "\u2060"
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what follows."""

_REWRITTEN = re.compile(r"(?<=:)|(?<=www)(?=\.)|(?=@)|(?<=[-<>=~])(?=[-<>=])", re.IGNORECASE)
"""Where a joiner keeps icons, emoji, links, addresses and arrows from being made."""

_MARKUP = re.compile(r"[\\`*_{}\[\]<>#$~|&:]|^[-+=]")
_NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")
"""What begins markup anywhere, and what begins a list or a heading at the start."""

_LONGEST = 1500
"""Characters of a sentence that are shown; the rest of an error stands in the log."""


@contextmanager
def guard() -> Iterator[None]:
    """Show an expected error as its sentence, where it happened, and go on with the page."""
    try:
        yield
    except QuantscopeError as error:
        st.error(sentence(error), icon=":material/error:")


def sentence(error: QuantscopeError) -> str:
    """Fact and remedy as two sentences, safe to show as Markdown."""
    fact, remedy = (escape(_short(part).rstrip(".")) for part in (error.fact, error.remedy))
    return f"{fact[:1].upper()}{fact[1:]}. {remedy[:1].upper()}{remedy[1:]}."


def escape(text: str) -> str:
    """Text from outside, on one line, as Markdown that shows it and nothing else."""
    line = " ".join(_UNSEEN.sub(" ", text).split())
    marked = _MARKUP.sub(r"\\\g<0>", _REWRITTEN.sub(_JOINER, line))
    return _NUMBERED.sub(r"\1\\\2", marked)


def plotly_text(text: str) -> str:
    """Text from outside as Plotly's markup, which knows tags and links."""
    return html.escape(" ".join(_UNSEEN.sub(" ", text).split()), quote=False)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
