"""The form's section on scales and rounding: how weights become codes."""

from __future__ import annotations

import streamlit as st

from pages._ui.form.fields import pills, section, typed_numbers
from pages._ui.form.values import key


def draw() -> None:
    """Scale and rounding methods, and the knobs of those that are chosen."""
    with section("Scales and rounding", "how weights become codes"):
        left, right = st.columns(2)
        with left:
            pills("scales", "Scale", list(_SCALES), _SCALES, _SCALES_HELP)
        with right:
            pills("roundings", "Rounding", list(_ROUNDINGS), _ROUNDINGS, _ROUNDINGS_HELP)
        corrects = set(st.session_state[key("roundings")]) - {"rtn"}
        piso = "piso" in st.session_state[key("scales")]
        if corrects or piso:
            left, right = st.columns(2)
            with left:
                pills("inputs", "Layer inputs seen", list(_INPUTS), _INPUTS, _INPUTS_HELP)
            with right:
                pills("interleavings", "Scales are found", list(_WHEN), _WHEN, _WHEN_HELP)
        if corrects:
            left, right = st.columns(2)
            with left:
                pills("act_orders", "Column order", list(_ORDERS), _ORDERS, _ORDERS_HELP)
            with right:
                typed_numbers("dampings", "Damping", _DAMPING_HELP, "The method's own")
        if piso:
            with st.expander("PiSO: what its scales minimise, and how"):
                _piso()
        with st.expander("Why may the scale with the smaller weight error give the worse model?"):
            st.markdown(_WHY_SCALES)


def _piso() -> None:
    pills("objectives", "Objective", list(_OBJECTIVES), _OBJECTIVES, _OBJECTIVES_HELP)
    left, right = st.columns(2)
    with left:
        pills("groupings", "Groups of a channel", list(_GROUPINGS), _GROUPINGS, _GROUPINGS_HELP)
        pills("signed", "Sign of a scale", list(_SIGNED), _SIGNED, _SIGNED_HELP)
    with right:
        pills("refines", "Refine over the groups", list(_REFINES), _REFINES, _REFINES_HELP)


_SCALES = {"absmax": "absmax", "mse": "MSE", "piso": "PiSO"}
_SCALES_HELP = (
    "absmax fits the largest weight; MSE minimises the squared weight error; PiSO finds the scale "
    "with exactly the least layer output error (arXiv 2606.10890)."
)
_ROUNDINGS = {"rtn": "RTN", "gptq": "GPTQ", "gpfq": "GPFQ", "qronos": "Qronos"}
_ROUNDINGS_HELP = (
    "RTN rounds to nearest. GPTQ rounds column by column and pushes each error onto the columns "
    "not yet rounded. GPFQ follows the running output error along a path. Qronos also corrects "
    "what quantizing the layers before did to the inputs."
)
_INPUTS = {"float": "float network's", "quantized": "quantized network's", "block": "block's"}
_INPUTS_HELP = (
    "Float: one capture serves every recipe. Quantized: what the quantized layers before really "
    "produce, captured layer by layer; slower. Block's, for Qronos and GPFQ: quantized ones too, "
    "but a block answers for its own errors alone, not for those of the blocks before it."
)
_WHEN = {"layer": "layer by layer", "decoupled": "all before", "group": "group by group"}
_WHEN_HELP = (
    "Layer by layer: just before a layer is rounded. All before: from the float network, in an "
    "earlier pass. Group by group: when error correction reaches a group, on the weights as moved "
    "so far; GPTQ and Qronos only."
)
_ORDERS = {True: "by activation", False: "as stored"}
_ORDERS_HELP = "By activation (act-order): largest Hessian diagonal first."
_DAMPING_HELP = (
    "Added to the Hessian's diagonal, as a fraction. Empty is the method's own, which is written "
    "`own` beside other values. Qronos's own, 1e-6, goes with much text: on the default 8,192 "
    "tokens it fits noise, and 0.001 to 0.01 do better."
)
_OBJECTIVES = {
    "self": "same inputs: ‖X̃(w − s·q)‖²",
    "cross": "float against quantized: ‖Xw − s·X̃q‖²",
    "identity": "weights alone: ‖w − s·q‖²",
}
_OBJECTIVES_HELP = "Whose error the scale makes as small as it can. Cross needs quantized inputs."
_GROUPINGS = {"sequential": "one after another", "independent": "each for itself"}
_GROUPINGS_HELP = "One after another: each group knows the errors of those before it."
_SIGNED = {False: "positive", True: "either sign"}
_SIGNED_HELP = "Also try negative scales, where the grid is asymmetric."
_REFINES = {False: "no", True: "yes"}
_REFINES_HELP = "Coordinate descent over a channel's groups until none improves."

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
