"""What the form says below its controls: who takes which formats, which sizes come out, and why."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import streamlit as st

from qcore.errors import InvalidRecipe
from qcore.pipeline.planning.sizes import DEMO
from qcore.recipe.axes import METHOD, Axes
from qcore.transforms.expansion import ExpandableSite, solve


def say_budget(axes: Axes) -> None:
    """Say who decides the formats where a bit budget is spent."""
    methods = axes[METHOD]
    if set(methods) <= {None}:
        return
    whom = "the runs without a bit budget" if None in methods else "no run"
    st.caption(f"The bit budget below brings its own formats: those above are for {whom}.")


def say_sizes(axes: Axes) -> None:
    """Say which sizes the demo model would get, where it is the one that grows."""
    percents = [percent for percent in axes["expansion.percent"] if percent]
    if True not in axes["rotation"] or "demo" not in axes["model.source"]:
        return
    sites = (axes["rotation.r4"], axes["rotation.o_proj"], axes["rotation.block"])
    try:
        lines = demo_growth(percents, *sites)
    except InvalidRecipe:
        return  # the field says it
    if lines:
        st.caption("  \n".join(["The demo model would grow by:", *lines]))


def demo_growth(
    percents: Iterable[float],
    r4s: Sequence[bool],
    o_projs: Sequence[bool],
    blocks: Sequence[int | None],
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
                stays = all(grown.sizes[site.name] == site.width for site in sites)
                reached.setdefault(
                    f"0 %: the next admissible size is too far, nothing grows ({sizes})"
                    if stays
                    else f"{grown.percent:.2f} % ({sizes})"
                )
        if reached:
            lines.append(f"{percent:g} % asked: {' or '.join(reached)}")
    return lines


_DOWN = ExpandableSite("down_proj", DEMO.size.intermediate, DEMO.size.hidden, DEMO.size.blocks)
_OUTPUT = ExpandableSite("o_proj", DEMO.size.attention, DEMO.size.hidden, DEMO.size.blocks)


def say_why_scales(axes: Axes) -> None:
    """Explain why weight error and output error may disagree."""
    if set(axes["weights.format"]) <= {None} and set(axes[METHOD]) <= {None}:
        st.caption("Weights stay in float: there is nothing to scale and nothing to round.")
        return
    with st.expander("Why may the scale with the smaller weight error give the worse model?"):
        st.markdown(_WHY_SCALES)


_WHY_SCALES = """
Every rule chooses the step between a channel's codes. **absmax** fits the largest weight, so
nothing is clipped. **MSE** makes the squared error of the *weights*, ‖W − Ŵ‖², as small as it can,
and for that it usually clips a few large weights to give all others a finer step.

But the network does not see weights, it sees *outputs*, ‖X(W − Ŵ)ᵀ‖². In an **unrotated** model
a few input channels are far larger than the rest, and training has put them to use: an error in
one of *their* weights is multiplied by a large activation. A rule that treats all weights alike may
spend its clipping just there and make the model worse although its weight error is smaller.
After a **rotation** every input carries about the same energy, so weight error and output error
agree, and MSE then helps. **PiSO** makes the output error itself as small as it can. GPTQ softens
the difference, since it moves errors to where the inputs forgive them. When in doubt choose several
and look at the Pareto page.
"""
