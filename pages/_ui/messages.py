"""Expected errors as sentences on the page, and text that Markdown leaves as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from qcore.errors import QuantscopeError


@contextmanager
def guard() -> Iterator[None]:
    """Show an expected error as its sentence, where it happened, and go on with the page."""
    try:
        yield
    except QuantscopeError as error:
        st.error(sentence(error), icon=":material/error:")


def sentence(error: QuantscopeError) -> str:
    """Fact and remedy as two sentences, safe to show as Markdown."""
    fact, remedy = (escape(part.rstrip(".")) for part in (error.fact, error.remedy))
    return f"{fact[:1].upper()}{fact[1:]}. {remedy[:1].upper()}{remedy[1:]}."


def escape(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for sign in "\\`*_{}[]<>#$~|":
        text = text.replace(sign, f"\\{sign}")
    return text.replace(":", "\\:")
