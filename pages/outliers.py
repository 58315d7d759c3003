"""Outliers: where are they, and what does a transform do to them? Drawn from cached captures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages._ui import charts, services, state
from pages._ui import microscope as tools
from pages._ui import outlier_charts as draw
from pages._ui import outlier_frames as words

if TYPE_CHECKING:
    from qcore.pipeline.captured import Capture, Lens, Method, Place, View

_PAGE = "outliers"


def choose_capture(found: list[Capture]) -> tuple[Capture, str]:
    """Which capture, and what colours the map."""
    by_key = {capture.key[:12]: capture for capture in found}
    asked = st.query_params.get("capture")
    if asked and asked not in by_key:
        st.warning(
            "The capture that the address names is not in the cache any more; another is shown. "
            "Run its recipe with another seed to capture it again.",
            icon=":material/info:",
        )
    left, right = st.columns([3, 2])
    name = left.selectbox(
        "Captured on",
        list(by_key),
        key=state.settle(_PAGE, "capture", list(by_key)),
        format_func=lambda key: words.capture_label(by_key[key]),
        help="Every finished run with a calibration text leaves a capture of the float network.",
    )
    measure = right.selectbox(
        "Colour the map by",
        list(words.MEASURES),
        key=state.settle(_PAGE, "measure", list(words.MEASURES)),
        format_func=lambda key: words.MEASURES[key].label,
        help="  \n".join(f"**{item.label}** – {item.meaning}" for item in words.MEASURES.values()),
    )
    return by_key[name], measure


def choose_place(places: list[Place], measure: str) -> Place:
    """A layer and a site, picked on the map or from the boxes under it."""
    peak = max(places, key=lambda place: getattr(place.measures, measure))
    by_place = {(place.block, place.site): place for place in places}
    layers = list(dict.fromkeys(place.block for place in places))
    layer_key = state.settle(_PAGE, "layer", layers, peak.block)
    sites = [site for layer, site in by_place if layer == st.session_state[layer_key]]
    site_key = state.settle(_PAGE, "site", sites, peak.site)

    def pick() -> None:
        for place in state.clicked(st.session_state["outliers.map"]):
            chosen_layer, st.session_state[site_key] = place.split("/")
            st.session_state[layer_key] = int(chosen_layer)

    st.plotly_chart(
        draw.site_map(places, measure, (st.session_state[layer_key], st.session_state[site_key])),
        key="outliers.map",
        on_select=pick,
        selection_mode="points",
        config=charts.config("outlier-map"),
        alt=f"{words.MEASURES[measure].label} of {len(places)} layer inputs",
    )
    left, middle, right = st.columns([1, 2, 1], vertical_alignment="bottom")
    layer = left.selectbox("Layer", layers, key=layer_key)
    labels = words.site_labels()
    site = middle.selectbox("Site", sites, key=site_key, format_func=lambda name: labels[name])
    tools.download(right, words.place_table(places), "outlier-map", "Map as CSV")
    return by_place[layer, site]


def choose_lens(capture: Capture, place: Place, hidden: int) -> Lens:
    """What the input goes through: rotation, permutation, expansion.

    Args:
        capture: whose parameters an expansion is a share of.
        place: whose width decides what can be chosen.
        hidden: width of the residual stream; 0 where it is not known.
    """
    from qcore.pipeline import captured

    width = place.width
    left, middle, right = st.columns(3)
    rotations = captured.rotations(width)
    blocks = [size for size in rotations if isinstance(size, int) and size <= 32]
    rotation = left.selectbox(
        "Rotation",
        rotations,
        key=state.settle(_PAGE, "rotation", rotations, blocks[-1] if blocks else "full"),
        format_func=words.rotation_label,
        help="A Hadamard matrix over all channels, or one per block of them. No random signs.",
    )
    mixes_all = not isinstance(rotation, int)
    orders: list[Method] = ["identity"] if mixes_all else list(captured.METHODS)
    permutation = middle.selectbox(
        "Permutation",
        orders,
        key=state.settle(_PAGE, "permutation", orders, "massdiff"),
        format_func=lambda name: words.METHODS[name],
        disabled=mixes_all,
        help="How channels are shared over the blocks. A full rotation mixes all channels whatever "
        "their order.",
    )
    sizes = captured.sizes(width, rotation)
    size = right.selectbox(
        "Expansion",
        sizes,
        key=state.settle(_PAGE, "size", sizes),
        format_func=lambda size: words.size_label(size, place, capture, hidden),
        disabled=len(sizes) == 1,
        help="The input is padded with zeros to this size before it is rotated. The share of all "
        "parameters is that of expanding this site in every layer.",
    )
    return captured.Lens(rotation, permutation, size)


def draw_view(view: View, permutation: str) -> None:
    """Numbers, then the four figures, each with what to notice."""
    if view.note:
        st.warning(services.escape(f"{view.note}."), icon=":material/info:")
    with st.container(horizontal=True):
        for label, value, was, meaning in words.headlines(view):
            st.metric(
                label,
                value,
                was or None,
                help=meaning,
                border=True,
                delta_color="off",
                delta_arrow="off",
            )
    left, right = st.columns(2, gap="large")
    with left:
        tools.figure(
            "How large are the values?",
            draw.distributions(view),
            "What to notice: the right end, where a rotation folds the tail back. The grey area "
            f"counts all {view.tokens:,} calibration tokens; the lines count the "
            f"{len(view.before.peak)} that were kept whole and cannot show what is rarer. "
            "Permuting changes no magnitude.",
        )
    if view.kept is not None:
        with right:
            tools.figure(
                "Does the rotation keep its promise?",
                draw.bounds(view),
                "One point per sampled token. What to notice: none lies above the dashed line, the "
                "bound; above the dotted one the rotation made the token's peak larger. Left of 1 "
                "the bound itself assures that it does not.",
            )
    tools.figure(
        "Which channels, which tokens?",
        draw.pictures(tools.stages(view, words.METHODS[permutation])),
        "What to notice: horizontal lines are outlier channels, single bright cells are massive "
        "activations. Each cell is the largest magnitude among its channels, over the token's RMS; "
        "tokens stand in text order.",
    )
    if view.kept is not None and len(view.kept.mass) > 1:
        tools.figure(
            "Do the blocks share the load?",
            draw.masses(view),
            "Mean ℓ1 mass of every block over all calibration tokens. What to notice: the tallest "
            "bar bounds the peak; at the dashed line all blocks weigh the same. Hatched blocks are "
            "those that the rotation made worse.",
        )
        tools.blocks(view)


st.title("Where are the outliers, and what does a transform do to them?")
st.caption(
    "The float network's inputs to its linear layers, as the calibration text produced them. What "
    "to notice: one loud channel sets the scale of all the others; a rotation spreads it, a "
    "rotation in blocks only within its block, and a permutation decides who shares a block."
)
with services.guard():
    found = tools.captures()
    if not found:
        tools.invite()
    else:
        capture, measure = choose_capture(found)
        places = tools.places(capture)
        place = choose_place(places, measure)
        hidden = next((at.width for at in places if at.site == "attention_input"), 0)
        lens = choose_lens(capture, place, hidden)
        state.keep(
            _PAGE,
            capture=capture.key[:12],
            measure=measure,
            layer=place.block,
            site=place.site,
            rotation=lens.rotation,
            permutation=lens.permutation,
            size=lens.size,
        )
        st.caption(words.WHERE.get(place.site, ""))
        draw_view(tools.view(capture, place, lens), lens.permutation)
