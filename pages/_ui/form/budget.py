"""The form's section on a bit budget: which layer gets which format, and who decides."""

from __future__ import annotations

import streamlit as st

from pages._ui.form.budget_parts import LOOKING
from pages._ui.form.fields import pills, section, typed_numbers
from pages._ui.form.knob_parts import NONE
from pages._ui.form.knobs import Knobs
from pages._ui.form.values import formats, key
from qcore.recipe.titles import BUDGET_METHODS, formats_label

_SETS = (
    *("mxfp4+mxfp8_e4m3", "mxfp4+mxfp6_e2m3", "mxfp4+mxfp6_e2m3+mxfp8_e4m3"),
    *("int4+int8", "int3+int4+int8", "int2+int3+int4"),
)


def draw(kept: Knobs) -> None:
    """The methods, what they may spend on what, and the knobs of those that are chosen."""
    with section("Bit budget", "one format per layer, under a budget"):
        pills("budget_methods", "Spent by", list(_METHODS), _METHODS, _METHODS_HELP)
        methods = set(st.session_state[key("budget_methods")]) - {NONE}
        if not methods:
            return
        left, right = st.columns([2, 3])
        with left:
            if methods != {"manual"}:
                typed_numbers("budgets", "Budget (bits)", _BUDGETS_HELP)
        with right:
            sets = [*_SETS, *(text for text in kept.budget_formats if text not in _SETS)]
            labels = {text: formats_label(text.split("+")) for text in sets}
            pills("budget_formats", "Formats allowed", sets, labels, _FORMATS_HELP)
        left, right = st.columns([3, 2])
        with left:
            pills("budget_objectives", "A budget counts", list(_COUNTS), _COUNTS, _COUNTS_HELP)
        with right:
            pills("weightings", "Mean over", list(_MEANS), _MEANS, _MEANS_HELP)
        left, right = st.columns([3, 2])
        with left:
            pills("fusings", "q, k, v share a format; gate, up too", [True, False], _YES, _FUSED)
        with right:
            if set(formats(st.session_state, "activations")) - {NONE}:
                pills("sharings", "Inputs take the weights' width", [True, False], _YES, _SHARED)
        typed_numbers("pins", "Pins", _PINS_HELP, "None: every layer is free")
        if methods & set(LOOKING):
            with st.expander("Sensitivities: what they are measured by"):
                _probe()
        if "dmx" in methods:
            with st.expander("dMX: how its offsets are learned"):
                _training()


def _probe() -> None:
    pills("measures", "A format costs a layer", list(_MEASURES), _MEASURES, _MEASURES_HELP)
    left, right = st.columns(2)
    with left:
        typed_numbers("probe_windows", "Probe windows", "Few are enough for an order of layers.")
    with right:
        typed_numbers("probe_lengths", "Tokens in each", "2 to 32768.")


def _training() -> None:
    for row in (_TRAINING[:3], _TRAINING[3:]):
        for column, (name, label, help_text) in zip(st.columns(3), row, strict=True):
            with column:
                typed_numbers(name, label, help_text)


_METHODS = {NONE: "off", **BUDGET_METHODS}
_METHODS_HELP = (
    "Off: all layers alike, in the weights' format. Uniform: the widest format that fits "
    "everywhere, then layers in stored order. KL greedy: the layer whose rounding moves the "
    "output most is widened first. Knapsack: the least sum of sensitivities, exactly. dMX: offsets "
    "learned by gradient (arXiv 2606.04115). Manual: the pins say it all."
)
_BUDGETS_HELP = "Average bits of an element, between the narrowest and the widest format."
_FORMATS_HELP = "What a layer may get. With a budget these replace the weights' formats above."
_COUNTS = {"weights": "weights", "both": "weights and inputs", "bytes": "stored bytes"}
_COUNTS_HELP = (
    "Weights: element bits, scales not counted (MXFP4 is 4). Weights and inputs: the mean of both, "
    "as in the dMX paper. Stored bytes: with scales and zero points (MXFP4 is 4.25)."
)
_MEANS = {"size": "weights", "layers": "layers"}
_MEANS_HELP = "Over weights, a large layer counts for more. Over layers, all count alike."
_YES = {True: "yes", False: "no"}
_FUSED = "As servers that fuse these projections need it."
_SHARED = "A layer's inputs are as wide as its weights; otherwise all stay in their own format."
_PINS_HELP = (
    "Layers whose format is given, with blanks between: `down_proj=mxfp8_e4m3 "
    "3.self_attn.v_proj=mxfp4 0=mxfp8_e4m3`. `none` stands for no pins."
)
_MEASURES = {"kl": "KL", "loss": "loss increase", "proxy": "output error"}
_MEASURES_HELP = (
    "KL of the float network's predictions to those with this layer alone quantized; the increase "
    "in loss; or the layer's relative output error, from the captured Hessian alone."
)
_TRAINING = (
    ("training_steps", "Steps", "Of the optimiser."),
    ("training_batches", "Windows a step", "How many are read at once."),
    ("training_lengths", "Tokens in each", "2 to 32768."),
    ("training_rates", "Learning rate", "SGD with Nesterov momentum."),
    ("training_momenta", "Momentum", "At least 0, less than 1."),
    ("training_penalties", "Penalty λ", "Nats per bit above the budget."),
)
