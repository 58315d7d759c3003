"""The form's section on transforms: rotation, permutation and expansion before quantization."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import streamlit as st

from pages._ui.form.fields import pills, section, typed_numbers
from pages._ui.form.knob_parts import FULL, NONE, ROTATED
from pages._ui.form.knobs import Knobs
from pages._ui.form.values import key, parse
from qcore.errors import InvalidRecipe
from qcore.pipeline.planning.sizes import DEMO
from qcore.transforms.expansion import ExpandableSite, solve

_BLOCKS = (16, 32, 64, 128, 256, 512, FULL)


def draw(kept: Knobs) -> None:
    """Whether to rotate; and if so, where, in what blocks, and with what beside it."""
    with section("Transforms", "how outliers are spread before anything is rounded"):
        pills("rotations", "Hadamard rotation", list(_ROTATIONS), _ROTATIONS, _ROTATIONS_HELP)
        if ROTATED not in st.session_state[key("rotations")]:
            return
        for column, (name, (label, help_text)) in zip(st.columns(4), _SITES.items(), strict=True):
            with column:
                pills(name, label, [True, False], {True: "on", False: "off"}, help_text)
        left, right = st.columns([3, 2])
        with left:
            more = [block for block in kept.blocks if block not in _BLOCKS]
            pills("blocks", "Block of R4 and o_proj", [*more, *_BLOCKS], _FULL, _BLOCKS_HELP)
        with right:
            pills("signs", "Random signs", [False, True], _SIGNS, _SIGNS_HELP)
        left, right = st.columns([3, 2])
        with left:
            # `identity` is what none is, by another name: offered only to the run that says it.
            methods = [m for m in _PERMUTATIONS if m != "identity" or m in kept.permutations]
            pills("permutations", "Permutation", methods, _PERMUTATIONS, _PERMUTATIONS_HELP)
        with right:
            typed_numbers("expansions", "Expansion (% of all parameters)", _EXPANSION_HELP)
        permutes = set(st.session_state[key("permutations")]) - {NONE, "identity"}
        if permutes and True in st.session_state[key("o_projs")]:
            pills("permuted_values", "Permute value heads", [False, True], _VALUES, _VALUES_HELP)
        _say_sizes()


def _say_sizes() -> None:
    """Which sizes the demo model would get, where it is the one that grows."""
    chosen = {name: st.session_state[key(name)] for name in ("r4s", "o_projs", "blocks")}
    try:
        percents = [percent for percent in parse("expansions", _typed("expansions")) if percent]
        demo = "demo" in st.session_state[key("sources")]
        if growth := demo_growth(percents, **chosen) if demo else []:
            st.caption("  \n".join(["The demo model would grow by:", *growth]))
    except InvalidRecipe:
        return  # the card beside the form says it


def _typed(name: str) -> str:
    return st.session_state[key(name)]


def demo_growth(
    percents: Iterable[float],
    r4s: Sequence[bool],
    o_projs: Sequence[bool],
    blocks: Sequence[int],
) -> list[str]:
    """A line for every percentage: what is reached at which sizes, in every way that is asked for.

    Raises:
        InvalidRecipe: a percentage or a block that is out of range.
    """
    lines = []
    for percent in percents:
        reached: dict[str, None] = {}
        for r4, o_proj, block in itertools.product(r4s, o_projs, blocks):
            sites = [site for site, on in ((_DOWN, r4), (_OUTPUT, o_proj)) if on]
            if sites:
                grown = solve(sites, DEMO.parameters, percent, block=block or 1)
                sizes = ", ".join(f"{s.name} {s.width} → {grown.sizes[s.name]}" for s in sites)
                reached.setdefault(f"{grown.percent:.2f} % ({sizes})")
        if reached:
            lines.append(f"{percent:g} % asked: {' or '.join(reached)}")
    return lines


_DOWN = ExpandableSite("down_proj", DEMO.size.intermediate, DEMO.size.hidden, DEMO.size.blocks)
_OUTPUT = ExpandableSite("o_proj", DEMO.size.attention, DEMO.size.hidden, DEMO.size.blocks)

_ROTATIONS = {NONE: "none", ROTATED: "rotate"}
_ROTATIONS_HELP = (
    "An orthogonal matrix before, its inverse after: the float network's outputs stay what they "
    "are, and every input carries about the same energy."
)
_SITES = {
    "r1s": ("R1: residual stream", "Fused into the weights, at no cost at run time."),
    "r2s": ("R2: value heads", "Fused into v_proj and o_proj, at no cost at run time."),
    "r4s": ("R4: down_proj", "Its input is rotated at run time, in blocks or in full."),
    "o_projs": ("Online: o_proj", "Its input is rotated at run time, in blocks or in full."),
}
_FULL = {FULL: "full"}
_BLOCKS_HELP = "Features that an online rotation mixes with each other. Small blocks are cheaper."
_SIGNS = {False: "no", True: "by seed"}
_SIGNS_HELP = "Random signs before every Hadamard matrix, drawn from the seed."
_PERMUTATIONS = {
    NONE: "none",
    "identity": "identity",
    "massdiff": "MassDiff",
    "zigzag": "zigzag",
    "absmax": "absmax",
    "random": "random",
}
_PERMUTATIONS_HELP = (
    "How channels are shared over the blocks of an online rotation, merged into the weights. "
    "MassDiff levels the blocks' mean absolute activation (MixQuant, arXiv 2601.22347)."
)
_VALUES = {False: "no", True: "yes"}
_VALUES_HELP = "Also within value heads: for blocks at o_proj's input that no R2 has mixed before."
_EXPANSION_HELP = (
    "Widens the inputs of the online rotations (arXiv 2503.17513); 0 leaves them as they are. The "
    "admissible sizes closest to the percentage are used."
)
