"""The form as a session remembers it across pages, and as an address reopens it.

The address has every path whose values are not the default ones, under its own name; an address
that was not written here (a reload, a link) fills the form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from qcore.errors import QuantscopeError
from qcore.recipe.axes import Axes, axes_of, defaults, read_value
from qcore.recipe.recipe import Recipe
from qcore.recipe.relevance import paths
from qcore.serialization import parse_json, require_name, to_plain

_AXES = "kept.axes"
_SEVERAL = "kept.several"
_WRITTEN = "kept.address"
_LONGEST = 200
"""Values of one path that an address may hold."""


def axes() -> dict[str, tuple[Any, ...]]:
    """The form as it was last left; at first the recipe's defaults."""
    if _AXES not in st.session_state:
        st.session_state[_AXES] = axes_of([Recipe()])
    return st.session_state[_AXES]


def keep(chosen: Axes) -> None:
    """Remember the form across pages."""
    st.session_state[_AXES] = dict(chosen)


def several() -> set[str]:
    """The paths that take several values."""
    return st.session_state.setdefault(_SEVERAL, set())


def opened() -> Axes | None:
    """The form that the address asks for, where it is not the one that was written last.

    What cannot be read in it stands at its default.
    """
    asked = {path: text for path, text in st.query_params.items() if path in paths()}
    if not asked or asked == st.session_state.get(_WRITTEN):
        return None
    st.session_state[_WRITTEN] = asked
    return {**axes_of([Recipe()]), **read_address(asked)}


def write_address(chosen: Axes) -> None:
    """Put the form into the address."""
    texts = address(chosen)
    if texts == st.session_state.get(_WRITTEN, {}) and all(
        st.query_params.get(path) == text for path, text in texts.items()
    ):
        return
    for path in set(paths()) & set(st.query_params) - set(texts):
        del st.query_params[path]
    st.query_params.update(texts)
    st.session_state[_WRITTEN] = texts


def address(chosen: Axes) -> dict[str, str]:
    """The paths whose values are not the default ones, each with them as JSON."""
    return {
        path: json.dumps(to_plain(values), separators=(",", ":"), ensure_ascii=True)[1:-1]
        for path, values in chosen.items()
        if values and values != (defaults()[path],) and len(values) <= _LONGEST
    }


def read_address(texts: Mapping[str, str]) -> dict[str, tuple[Any, ...]]:
    """The values of every path that such an address names and says right."""
    found: dict[str, tuple[Any, ...]] = {}
    for path, text in texts.items():
        try:
            values = parse_json(f"[{text}]")[:_LONGEST]
            for value in values:
                if isinstance(value, str):
                    require_name(value, path)  # no widget could hold it
            found[path] = tuple(dict.fromkeys(read_value(path, value) for value in values))
        except QuantscopeError:
            continue
    return found
