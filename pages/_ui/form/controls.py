"""Widgets to knobs, the only place: every knob of the recipe, each open to several values.

Formats, groups and methods are pills; numbers are text in which commas separate values, so that a
whole sweep can be typed without leaving the keyboard. `fill` puts knobs into the widgets, `ask`
draws the widgets and reads them back; a knob that is hidden keeps its value. The sections on bit
budgets, transforms, scales and rounding are drawn by modules of their own.
"""

from __future__ import annotations

import streamlit as st

from pages._ui.form import budget, rounding, state, transforms
from pages._ui.form.budget_parts import starting_formats
from pages._ui.form.fields import file_text, pills, section, text_names, texts, typed, typed_numbers
from pages._ui.form.knob_parts import NONE, PER_CHANNEL
from pages._ui.form.knobs import Knobs
from pages._ui.form.values import SORTS, formats, key, read, widget_values
from qcore.formats.format import FORMATS, SCALE_BITS
from qcore.recipe import TASKS
from qcore.report import metrics

_GROUPS = (PER_CHANNEL, 16, 32, 64, 128, 256)


def fill(knobs: Knobs) -> None:
    """Put these values into every widget. Only before the widgets are drawn, as in a callback."""
    state.keep_knobs(knobs)
    for widget, value in widget_values(knobs).items():
        st.session_state[widget] = value


def ask() -> Knobs:
    """Draw all knobs, and return what is chosen.

    Raises:
        InvalidRecipe: something typed is no number. Every knob is drawn before.
    """
    kept = state.knobs()
    for widget, value in widget_values(kept).items():
        st.session_state.setdefault(widget, value)
    _model(kept)
    left, right = st.columns(2)
    with left:
        _numbers_section("weights", kept)
    with right:
        _numbers_section("activations", kept)
    budget.draw(kept)
    transforms.draw(kept)
    rounding.draw()
    left, right = st.columns(2)
    with left:
        _calibration(kept)
    with right:
        _evaluation(kept)
    chosen = read(st.session_state, kept)
    state.keep_knobs(chosen)
    return chosen


def _model(kept: Knobs) -> None:
    with section("Model", "the network to quantize"):
        left, right = st.columns([3, 2])
        with left:
            pills(
                "sources",
                "Where it comes from",
                ["demo", "folder", "hub"],
                {
                    "demo": ":material/science: Demo (SmolLM2-135M)",
                    "folder": ":material/folder: Local folder",
                    "hub": ":material/cloud_download: Hub",
                },
                "The demo is SmolLM2-135M-Instruct, dequantized from its Q4_1 file.",
            )
        with right:
            pills(
                "dtypes",
                "Computes in",
                ["float32", "bfloat16"],
                help_text="What the network computes in while it is measured.",
            )
        sources = st.session_state[key("sources")]
        if "folder" in sources:
            typed(
                "folders",
                "Folders",
                kept,
                "Hugging Face layout with safetensors weights; pickled weights are refused.",
                "/models/Llama-3.2-1B",
            )
        if "hub" in sources:
            left, right = st.columns([3, 2])
            with left:
                typed("hub_ids", "Hub ids", kept, "As on huggingface.co.", "Qwen/Qwen3-0.6B")
            with right:
                typed("revisions", "Revisions", kept, "Branch, tag or commit.", "main")


def _numbers_section(part: str, kept: Knobs) -> None:
    weights = part == "weights"
    title = "Weights" if weights else "Activations"
    lead = "how they are stored" if weights else "rounded at run time"
    with section(title, lead):
        noun = "Keep weights in float" if weights else "Keep activations in float"
        pills(f"{part}/none", "Float", [NONE], {NONE: noun}, hide_label=True)
        for sort, label in (
            ("symmetric", "INT, symmetric: bits"),
            ("asymmetric", "INT, asymmetric: bits"),
            ("mx", "OCP Microscaling (MX), blocks of 32"),
        ):
            names = {name: _format_label(name) for name in SORTS[sort]}
            pills(f"{part}/{sort}", label, SORTS[sort], names, _SORT_HELP[sort])
        chosen = formats(st.session_state, part)
        if weights:
            chosen += _say_budget()
        groups = "weight_groups" if weights else "activation_groups"
        if any(FORMATS[name].kind == "int" for name in chosen if name != NONE):
            whole = "per channel" if weights else "per token"
            pills(
                groups,
                "Group: inputs that share a scale",
                [*_GROUPS, *(g for g in getattr(kept, groups) if g not in _GROUPS)],
                {PER_CHANNEL: whole},
                "INT formats only: an MX format's block is always 32.",
            )
            if weights:
                pills("storages", "An INT scale is stored as", list(SCALE_BITS), {}, _STORAGES_HELP)
        if any(FORMATS[name].kind == "mx" for name in chosen if name != NONE):
            pills(
                "weight_exponents" if weights else "activation_exponents",
                "Shared exponent of an MX block",
                ["floor", "midmax"],
                {"floor": "floor (OCP)", "midmax": "midmax"},
                "floor is the OCP rule; midmax bumps the exponent when the largest element would "
                "otherwise be clipped by more than half a step.",
            )


def _say_budget() -> list[str]:
    """Say who decides where a budget is spent; the formats that its runs start in."""
    methods = st.session_state[key("budget_methods")]
    if set(methods) <= {NONE}:
        return []
    whom = "the runs without a bit budget" if NONE in methods else "no run"
    st.caption(f"The bit budget below brings its own formats: those above are for {whom}.")
    return starting_formats(st.session_state[key("budget_formats")])


def _calibration(kept: Knobs) -> None:
    with section("Calibration", "what the network reads"):
        pills(
            "calibration_texts",
            "Text",
            [*texts(kept.calibration_texts), NONE],
            text_names(kept.calibration_texts, {NONE: "none"}),
            "The text whose activations are captured. GPTQ needs one; without one RTN reports no "
            "output errors. WikiText-2 comes from the Hub unless a local copy is there.",
        )
        file_text("calibration_texts")
        if set(st.session_state[key("calibration_texts")]) != {NONE}:
            left, right = st.columns(2)
            with left:
                typed_numbers("calibration_windows", "Windows", "How many, from its start.")
            with right:
                typed_numbers("calibration_lengths", "Tokens in each", "2 to 32768.")


def _evaluation(kept: Knobs) -> None:
    with section("Evaluation", "what is measured"):
        pills(
            "evaluation_texts",
            "Perplexity text",
            texts(kept.evaluation_texts),
            text_names(kept.evaluation_texts),
            "Its first windows are scored; more windows give narrower intervals.",
        )
        file_text("evaluation_texts")
        left, right = st.columns(2)
        with left:
            typed_numbers("evaluation_windows", "Windows", "Non-overlapping.")
        with right:
            typed_numbers("evaluation_lengths", "Tokens in each", "2 to 32768.")
        pills(
            "divergences",
            "KL and top-1 agreement",
            [True, False],
            {True: "measure", False: "skip"},
            "Compares with the float model token by token: far less noisy than perplexity.",
        )
        labels = {name: metrics.metric_label(f"accuracy/{name}") for name in TASKS}
        pills("tasks", "Zero-shot tasks (lm-eval)", TASKS, labels, "Slow on a CPU; each run.")
        if st.session_state[key("tasks")]:
            typed_numbers("limits", "Questions per task", "`all` asks every question.")
        typed_numbers("seeds", "Seed", "Of everything that draws at random.")


_STORAGES_HELP = (
    "Its bits count towards bits per weight. PiSO chooses the best scale that the type holds; "
    "scales of other methods are rounded to it."
)
_SORT_HELP = {
    "symmetric": "Codes −2ᵇ⁻¹ … 2ᵇ⁻¹ − 1 and no zero point.",
    "asymmetric": "Codes 0 … 2ᵇ − 1 and an integer zero point.",
    "mx": "One power-of-two scale per 32 elements (OCP MX 1.0): small floats or 8-bit integers.",
}


def _format_label(name: str) -> str:
    fmt = FORMATS[name]
    return str(fmt.bits) if fmt.kind == "int" else name.removeprefix("mx").upper().replace("_", " ")
