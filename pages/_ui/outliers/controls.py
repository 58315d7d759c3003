"""The Outliers page's widgets: which capture, which layer and site, and the lens before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import downloads, state
from pages._ui.captures import controls
from pages._ui.figures.view import draw_figure
from pages._ui.outliers import charts, tables, words

if TYPE_CHECKING:
    from qcore.analysis.captures import Capture, Lens, Method, Place

PAGE = "outliers"


def choose_capture(found: list[Capture]) -> tuple[Capture, str]:
    """Choose a capture, and the measure that colours the map."""
    left, right = st.columns([3, 2])
    capture = controls.choose(left, found, PAGE)
    measure = right.selectbox(
        "Colour the map by",
        list(words.MEASURES),
        key=state.settle(PAGE, "measure", list(words.MEASURES)),
        format_func=lambda key: words.MEASURES[key].label,
        help="  \n".join(f"**{item.label}** – {item.meaning}" for item in words.MEASURES.values()),
    )
    return capture, measure


def choose_place(places: list[Place], measure: str) -> Place:
    """Choose a layer and a site, on the map or in the boxes under it."""
    peak = max(places, key=lambda place: getattr(place.measures, measure))
    by_place = {(place.block, place.site): place for place in places}
    layers = list(dict.fromkeys(place.block for place in places))
    layer_key = state.settle(PAGE, "layer", layers, peak.block)
    sites = [site for layer, site in by_place if layer == st.session_state[layer_key]]
    site_key = state.settle(PAGE, "site", sites, peak.site)

    def pick() -> None:
        for place in state.clicked(st.session_state["outliers.map"]):
            chosen_layer, st.session_state[site_key] = place.split("/")
            st.session_state[layer_key] = int(chosen_layer)

    draw_figure(
        charts.site_map(places, measure, (st.session_state[layer_key], st.session_state[site_key])),
        key="outliers.map",
        name="outlier-map",
        select="points",
        on_select=pick,
        alt=f"{words.MEASURES[measure].label} of {len(places)} layer inputs",
    )
    left, middle, right = st.columns([1, 2, 1], vertical_alignment="bottom")
    layer = left.selectbox("Layer", layers, key=layer_key)
    labels = words.site_labels()
    site = middle.selectbox("Site", sites, key=site_key, format_func=lambda name: labels[name])
    downloads.table(
        right.container(horizontal=True), tables.place_table(places), "outlier-map", "Map as CSV"
    )
    return by_place[layer, site]


def choose_lens(capture: Capture, place: Place, hidden: int) -> Lens:
    """Choose what the input goes through: rotation, permutation, expansion.

    Args:
        capture: whose parameters an expansion is a share of.
        place: whose width decides what can be chosen.
        hidden: width of the residual stream; 0 where it is not known.
    """
    from qcore.analysis import captures
    from qcore.transforms.permutation import METHODS

    width = place.width
    left, middle, right = st.columns(3)
    rotations = captures.rotations(width)
    blocks = [size for size in rotations if isinstance(size, int) and size <= 32]
    rotation = left.selectbox(
        "Rotation",
        rotations,
        key=state.settle(PAGE, "rotation", rotations, blocks[-1] if blocks else "full"),
        format_func=words.rotation_label,
        help="A Hadamard matrix over all channels, or one per block of them. No random signs.",
    )
    mixes_all = not isinstance(rotation, int)
    orders: list[Method] = ["identity"] if mixes_all else list(METHODS)
    permutation = middle.selectbox(
        "Permutation",
        orders,
        key=state.settle(PAGE, "permutation", orders, "massdiff"),
        format_func=lambda name: words.METHODS[name],
        disabled=mixes_all,
        help="How channels are shared over the blocks. A full rotation mixes all channels whatever "
        "their order.",
    )
    sizes = captures.sizes(width, rotation)
    size = right.selectbox(
        "Expansion",
        sizes,
        key=state.settle(PAGE, "size", sizes),
        format_func=lambda size: words.size_label(size, place, capture, hidden),
        disabled=len(sizes) == 1,
        help="The input is padded with zeros to this size before it is rotated. The share of all "
        "parameters is that of expanding this site in every layer.",
    )
    return captures.Lens(rotation, permutation, size)
