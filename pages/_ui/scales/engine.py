"""What the Scales page asks of the engine, kept for the next click.

A layer is read and checked once, a survey made once per layer, format and objective (and kept on
disk), a channel taken apart once. What is kept is only read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import engine
from qcore.formats.format import named
from qcore.machine.home import home

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture
    from qcore.analysis.channels import Channel, Layer, Objective, Survey


def layer(capture: Capture, block: int, projection: str) -> Layer:
    """A layer's weight and moments."""
    with st.spinner("Reading the layer …"):
        return _layer(home(), capture.key, block, projection, capture)


def survey(capture: Capture, layer: Layer, fmt: str, objective: Objective) -> Survey:
    """Where the methods land in its channels; takes a second or two the first time."""
    with st.spinner("Finding the best scale of every channel, once per layer and format …"):
        return _survey(home(), capture.key, layer.name, fmt, objective, capture, layer)


def channel(capture: Capture, layer: Layer, fmt: str, objective: Objective, number: int) -> Channel:
    """One channel under the grid and the objective."""
    return _channel(home(), capture.key, layer.name, fmt, objective, number, layer)


@st.cache_resource(max_entries=4, show_spinner=False)
def _layer(root: Path, key: str, block: int, projection: str, _capture: Capture) -> Layer:
    from qcore.analysis import channels

    store = engine.cache()
    return engine.patiently(
        f"the weights of model {_capture.source.name}",
        (root, key, block, projection),
        lambda: channels.layer_of(_capture, store, root, block, projection),
    )


@st.cache_resource(max_entries=32, show_spinner=False)
def _survey(
    root: Path,
    key: str,
    name: str,
    fmt: str,
    objective: Objective,
    _capture: Capture,
    _layer: Layer,
) -> Survey:
    from qcore.analysis import channels

    return channels.kept_survey(_capture, engine.cache(), _layer, named(fmt), objective)


@st.cache_resource(max_entries=8, show_spinner=False)
def _channel(
    root: Path, key: str, name: str, fmt: str, objective: Objective, number: int, _layer: Layer
) -> Channel:
    from qcore.analysis import channels

    return channels.look(_layer, named(fmt), objective, number)
