"""The Bits page's pins: the layer that both maps frame, and the formats that layers must keep.

Pins live as text, in one box under Rules; the form beside the maps writes into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import messages, state
from pages._ui.bits import words
from qcore.errors import QuantscopeError
from qcore.explore.groups import ComparisonGroup
from qcore.precision import table
from qcore.recipe import Pin, Precision
from qcore.recipe.pins import pins_text, read_pins

if TYPE_CHECKING:
    from qcore.precision.layers import LayerSize

PAGE = "bits"
_PINS = f"{PAGE}.pins"
_FREE = "free"


def typed(group: ComparisonGroup, formats: Sequence[str]) -> tuple[Pin, ...]:
    """The pins as text: what the address says, what was typed, or what the map's form wrote."""
    if _PINS not in st.session_state:
        kept = st.session_state.get(f"kept.{PAGE}", {})
        own = () if group.part.method == "manual" else group.part.pins
        given = st.query_params.get("pins", kept.get("pins", pins_text(own)))
        st.session_state[_PINS] = given
    text = st.text_input(
        "Pins",
        key=_PINS,
        placeholder=f"down_proj={formats[-1]} 0={formats[-1]}",
        help="Layers, projections or blocks whose format is given, with blanks between.",
    )
    try:
        pins = read_pins(text)
        for pin in pins:
            if pin.format not in formats:
                layer = messages.escape(pin.layer)
                st.caption(f"{layer}: {words.format_label(pin.format)} is not allowed above.")
        return tuple(pin for pin in pins if pin.format in formats)
    except QuantscopeError as error:
        st.error(messages.sentence(error), icon=":material/error:")
        return ()


def framed(layers: Sequence[LayerSize]) -> str:
    """The layer that both maps frame."""
    names = [layer.name for layer in layers]
    return st.session_state[state.settle(PAGE, "layer", names)]


def pick(chart: str) -> None:
    """Frame the layer that was clicked on a map; for callbacks."""
    for layer in state.clicked(st.session_state[chart]):
        st.session_state[f"{PAGE}.layer"] = layer


def form(
    layers: Sequence[LayerSize], part: Precision, costs: table.Costs, formats: Mapping[str, str]
) -> None:
    """Draw what is known of the framed layer, and the pin for it, its projection or block."""
    names = [layer.name for layer in layers]
    left, middle, right = st.columns([2, 3, 4], vertical_alignment="bottom")
    chosen = left.selectbox("Layer", names, key=state.settle(PAGE, "layer", names))
    layer = next(layer for layer in layers if layer.name == chosen)
    scopes = {
        layer.name: "this layer",
        layer.projection: f"all {layer.projection}",
        str(layer.block): f"block {layer.block}",
    }
    target = middle.segmented_control(
        "Pin",
        list(scopes),
        default=layer.name,
        required=True,
        format_func=lambda name: messages.escape(scopes[name]),
        key=f"{PAGE}.scope.{layer.name}",
    )
    now = {pin.layer: pin.format for pin in part.pins}
    key = f"{PAGE}.pin"
    st.session_state[key] = now.get(target, _FREE)

    def apply() -> None:
        wish = st.session_state[key]
        kept = [pin for pin in read_pins(st.session_state[_PINS]) if pin.layer != target]
        added = [] if wish == _FREE else [Pin(target, wish)]
        st.session_state[_PINS] = pins_text([*kept, *added])

    right.segmented_control(
        "to",
        [_FREE, *part.narrow_to_wide],
        key=key,
        required=True,
        on_change=apply,
        format_func=lambda name: name if name == _FREE else words.format_label(name),
        help="A pinned layer keeps its format whatever the budget; fused layers share it. All "
        "pins stand under Rules, where they can be typed and deleted.",
    )
    told = words.layer_sentence(layer, formats[layer.name], costs, part.probe.measure)
    st.caption(messages.escape(told))
