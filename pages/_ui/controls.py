"""Widgets to knobs, the only place: every knob of the recipe, each open to several values.

Formats, groups and methods are pills; numbers are text in which commas separate values, so that a
whole sweep can be typed without leaving the keyboard. `fill` puts knobs into the widgets, `ask`
draws the widgets and reads them back; a knob that is hidden keeps its value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from pages._ui import frames, state
from pages._ui.knobs import NONE, PER_CHANNEL, Knobs
from qcore.errors import InvalidRecipe
from qcore.formats.format import FORMATS
from qcore.recipe import TASKS, TEXTS

_GROUPS = (PER_CHANNEL, 16, 32, 64, 128, 256)
_SORTS = {
    "none": [NONE],
    "symmetric": [n for n, f in FORMATS.items() if f.kind == "int" and f.symmetric][::-1],
    "asymmetric": [n for n, f in FORMATS.items() if f.kind == "int" and not f.symmetric][::-1],
    "mx": [n for n, f in FORMATS.items() if f.kind == "mx"],
}
_SEVERAL = "Several values, separated by commas, make a sweep."


def fill(knobs: Knobs) -> None:
    """Put these values into every widget. Only before the widgets are drawn, as in a callback."""
    state.keep_knobs(knobs)
    for key, value in _widget_values(knobs).items():
        st.session_state[key] = value


def ask() -> Knobs:
    """Draw all knobs, and return what is chosen.

    Raises:
        InvalidRecipe: something typed is no number. Every knob is drawn before.
    """
    kept = state.knobs()
    for key, value in _widget_values(kept).items():
        st.session_state.setdefault(key, value)
    _model(kept)
    left, right = st.columns(2)
    with left:
        _numbers_section("weights", kept)
    with right:
        _numbers_section("activations", kept)
    _rounding(kept)
    left, right = st.columns(2)
    with left:
        _calibration(kept)
    with right:
        _evaluation(kept)
    chosen = _read(kept)
    state.keep_knobs(chosen)
    return chosen


def _model(kept: Knobs) -> None:
    with _section("Model", "the network to quantize"):
        left, right = st.columns([3, 2])
        with left:
            _pills(
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
            _pills(
                "dtypes",
                "Computes in",
                ["float32", "bfloat16"],
                help_text="What the network computes in while it is measured.",
            )
        sources = st.session_state[_key("sources")]
        if "folder" in sources:
            _typed(
                "folders",
                "Folders",
                kept,
                "Hugging Face layout with safetensors weights; pickled weights are refused.",
                "/models/Llama-3.2-1B",
            )
        if "hub" in sources:
            left, right = st.columns([3, 2])
            with left:
                _typed("hub_ids", "Hub ids", kept, "As on huggingface.co.", "Qwen/Qwen3-0.6B")
            with right:
                _typed("revisions", "Revisions", kept, "Branch, tag or commit.", "main")


def _numbers_section(part: str, kept: Knobs) -> None:
    weights = part == "weights"
    title = "Weights" if weights else "Activations"
    lead = "how they are stored" if weights else "rounded at run time"
    with _section(title, lead):
        noun = "Keep weights in float" if weights else "Keep activations in float"
        _pills(f"{part}/none", "Float", [NONE], {NONE: noun}, hide_label=True)
        for sort, label in (
            ("symmetric", "INT, symmetric: bits"),
            ("asymmetric", "INT, asymmetric: bits"),
            ("mx", "OCP Microscaling (MX), blocks of 32"),
        ):
            names = {name: _format_label(name) for name in _SORTS[sort]}
            _pills(f"{part}/{sort}", label, _SORTS[sort], names, _SORT_HELP[sort])
        chosen = _formats(part)
        groups = "weight_groups" if weights else "activation_groups"
        if any(FORMATS[name].kind == "int" for name in chosen if name != NONE):
            whole = "per channel" if weights else "per token"
            _pills(
                groups,
                "Group: inputs that share a scale",
                [*_GROUPS, *(g for g in getattr(kept, groups) if g not in _GROUPS)],
                {PER_CHANNEL: whole},
                "INT formats only: an MX format's block is always 32.",
            )
        if any(FORMATS[name].kind == "mx" for name in chosen if name != NONE):
            _pills(
                "weight_exponents" if weights else "activation_exponents",
                "Shared exponent of an MX block",
                ["floor", "midmax"],
                {"floor": "floor (OCP)", "midmax": "midmax"},
                "floor is the OCP rule; midmax bumps the exponent when the largest element would "
                "otherwise be clipped by more than half a step.",
            )


def _rounding(kept: Knobs) -> None:
    with _section("Scales and rounding", "how weights become codes"):
        left, middle, right = st.columns(3)
        with left:
            _pills(
                "scales",
                "Scale",
                ["absmax", "mse"],
                {"absmax": "absmax", "mse": "MSE"},
                "absmax fits the largest weight; MSE minimises the squared weight error.",
            )
        with middle:
            _pills(
                "roundings",
                "Rounding",
                ["rtn", "gptq"],
                {"rtn": "RTN", "gptq": "GPTQ"},
                "RTN rounds to nearest. GPTQ rounds column by column and pushes each error onto "
                "the columns not yet rounded.",
            )
        if "gptq" in st.session_state[_key("roundings")]:
            with right:
                _typed_numbers(
                    "dampings",
                    "GPTQ damping",
                    "Added to the Hessian's diagonal, as a fraction. Empty or `own`: the method's own.",
                )
            left, right, _ = st.columns(3)
            with left:
                _pills(
                    "act_orders",
                    "GPTQ column order",
                    [True, False],
                    {True: "by activation", False: "as stored"},
                    "By activation (act-order): largest Hessian diagonal first.",
                )
            with right:
                _pills(
                    "inputs",
                    "GPTQ sees inputs of the",
                    ["float", "quantized"],
                    {"float": "float network", "quantized": "quantized network"},
                    "Float: one capture serves every recipe. Quantized: what the quantized layers "
                    "before it really produce, captured layer by layer; slower.",
                )
        with st.expander("Why may the scale with the smaller weight error give the worse model?"):
            st.markdown(_WHY_SCALES)


def _calibration(kept: Knobs) -> None:
    with _section("Calibration", "what the network reads"):
        _pills(
            "calibration_texts",
            "Text",
            [*_texts(kept.calibration_texts), NONE],
            _text_names(kept.calibration_texts, {NONE: "none"}),
            "The text whose activations are captured. GPTQ needs one; without one RTN reports no "
            "output errors. WikiText-2 comes from the Hub unless a local copy is there.",
        )
        _file_text("calibration_texts")
        if set(st.session_state[_key("calibration_texts")]) != {NONE}:
            left, right = st.columns(2)
            with left:
                _typed_numbers("calibration_windows", "Windows", "How many, from its start.")
            with right:
                _typed_numbers("calibration_lengths", "Tokens in each", "2 to 32768.")


def _evaluation(kept: Knobs) -> None:
    with _section("Evaluation", "what is measured"):
        _pills(
            "evaluation_texts",
            "Perplexity text",
            _texts(kept.evaluation_texts),
            _text_names(kept.evaluation_texts),
            "Its first windows are scored; more windows give narrower intervals.",
        )
        _file_text("evaluation_texts")
        left, right = st.columns(2)
        with left:
            _typed_numbers("evaluation_windows", "Windows", "Non-overlapping.")
        with right:
            _typed_numbers("evaluation_lengths", "Tokens in each", "2 to 32768.")
        _pills(
            "divergences",
            "KL and top-1 agreement",
            [True, False],
            {True: "measure", False: "skip"},
            "Compares with the float model token by token: far less noisy than perplexity.",
        )
        labels = {name: frames.metric_label(f"accuracy/{name}") for name in TASKS}
        _pills("tasks", "Zero-shot tasks (lm-eval)", TASKS, labels, "Slow on a CPU; each run.")
        if st.session_state[_key("tasks")]:
            _typed_numbers("limits", "Questions per task", "`all` asks every question.")
        _typed_numbers("seeds", "Seed", "Of everything that draws at random.")


_SORT_HELP = {
    "symmetric": "Codes −2ᵇ⁻¹ … 2ᵇ⁻¹ − 1 and no zero point.",
    "asymmetric": "Codes 0 … 2ᵇ − 1 and an integer zero point.",
    "mx": "One power-of-two scale per 32 elements (OCP MX 1.0): small floats or 8-bit integers.",
}

_WHY_SCALES = """
Both rules choose the step between a channel's codes. **absmax** fits the largest weight, so
nothing is clipped. **MSE** makes the squared error of the *weights*, ‖W − Ŵ‖², as small as it can,
and for that it usually clips a few large weights to give all others a finer step.

But the network does not see weights, it sees *outputs*, ‖X(W − Ŵ)ᵀ‖². In an **unrotated** model
a few input channels are far larger than the rest, and training has put them to use: an error in
one of *their* weights is multiplied by a large activation. A rule that treats all weights alike may
spend its clipping just there and make the model worse although its weight error is smaller.
After a **rotation** every input carries about the same energy, so weight error and output error
agree, and MSE then helps. GPTQ softens the difference, since it moves errors to where the inputs
forgive them. When in doubt choose both and look at the Pareto page.
"""


def _section(title: str, lead: str):
    container = st.container(border=True)
    container.markdown(f"**{title}** &nbsp;:gray[{lead}]")
    return container


def _key(name: str) -> str:
    return f"knob.{name}"


def _pills(
    name: str,
    label: str,
    options: Sequence[Any],
    labels: dict[Any, str] | None = None,
    help_text: str | None = None,
    *,
    hide_label: bool = False,
) -> None:
    names = labels or {}
    st.pills(
        label,
        options,
        selection_mode="multi",
        format_func=lambda option: names.get(option, str(option)),
        key=_key(name),
        help=help_text,
        label_visibility="collapsed" if hide_label else "visible",
        wrap=True,
    )


def _typed(name: str, label: str, kept: Knobs, help_text: str, example: str) -> None:
    st.multiselect(
        label,
        [value for value in getattr(kept, name) if value],
        key=_key(name),
        accept_new_options=True,
        placeholder=f"Type one, such as {example}, and press Enter",
        help=help_text,
        select_all=False,
    )


def _typed_numbers(name: str, label: str, help_text: str) -> None:
    st.text_input(label, key=_key(name), help=f"{help_text} {_SEVERAL}")


def _file_text(field: str) -> None:
    """A box that adds a file's path to the texts."""

    def add() -> None:
        path = st.session_state[f"{_key(field)}/file"].strip()
        if path:
            text = path if path.startswith("file:") else f"file:{path}"
            values = dict.fromkeys([*st.session_state[_key(field)], text])
            kept = dataclasses.replace(state.knobs(), **{field: tuple(values)})
            state.keep_knobs(kept)
            st.session_state[_key(field)] = list(values)
            st.session_state[f"{_key(field)}/file"] = ""

    st.text_input(
        "Add a text file",
        key=f"{_key(field)}/file",
        on_change=add,
        placeholder="Or the path of a text file, then Enter",
        label_visibility="collapsed",
    )


def _texts(kept: Sequence[str]) -> list[str]:
    return [*TEXTS, *(text for text in kept if text not in TEXTS and text != NONE)]


def _text_names(kept: Sequence[str], more: dict[str, str] | None = None) -> dict[str, str]:
    return {text: frames.text_label(text) for text in _texts(kept)} | (more or {})


def _format_label(name: str) -> str:
    fmt = FORMATS[name]
    return str(fmt.bits) if fmt.kind == "int" else name.removeprefix("mx").upper().replace("_", " ")


def _formats(part: str) -> list[str]:
    return [name for sort in _SORTS for name in st.session_state[_key(f"{part}/{sort}")]]


def _widget_values(knobs: Knobs) -> dict[str, Any]:
    """What every widget shows for these knobs, by its key."""
    values: dict[str, Any] = {}
    for item in dataclasses.fields(Knobs):
        chosen = getattr(knobs, item.name)
        if item.name in ("weights", "activations"):
            for sort, names in _SORTS.items():
                values[_key(f"{item.name}/{sort}")] = [name for name in chosen if name in names]
        elif item.name in _PARSERS:
            values[_key(item.name)] = _numbers_text(item.name, chosen)
        else:
            values[_key(item.name)] = [value for value in chosen if value != ""]
    return values


def _numbers_text(name: str, values: Sequence[float | None]) -> str:
    if name == "dampings" and tuple(values) == (None,):
        return ""
    return ", ".join(_number_text(name, value) for value in values)


def _number_text(name: str, value: float | None) -> str:
    if value is None:
        return "own"
    return "all" if name == "limits" and value == 0 else f"{value:g}"


def _read(kept: Knobs) -> Knobs:
    """The widgets' values as knobs; a knob that is not drawn keeps its own."""
    values: dict[str, Any] = {}
    for item in dataclasses.fields(Knobs):
        if item.name in ("weights", "activations"):
            values[item.name] = tuple(_formats(item.name))
        elif item.name in _PARSERS:
            text = st.session_state.get(_key(item.name))
            known = getattr(kept, item.name)
            values[item.name] = known if text is None else _parse(item.name, text)
        else:
            values[item.name] = tuple(
                st.session_state.get(_key(item.name), getattr(kept, item.name))
            )
    return Knobs(**values)


def _parse(name: str, text: str) -> tuple[Any, ...]:
    label = name.replace("_", " ")
    if name == "dampings" and not text.strip():
        return (None,)
    values = []
    for part in filter(None, (part.strip() for part in text.replace(";", ",").split(","))):
        try:
            values.append(_PARSERS[name](part))
        except ValueError as error:
            raise InvalidRecipe(
                f"{label}: {part[:30]!r} is no number that fits",
                remedy="write numbers, separated by commas",
            ) from error
    return tuple(dict.fromkeys(values))


def _limit(text: str) -> int:
    return 0 if text.lower() == "all" else _positive(text)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _damping(text: str) -> float | None:
    return None if text.lower() == "own" else float(text)


_PARSERS: dict[str, Callable[[str], Any]] = {
    "dampings": _damping,
    "calibration_windows": int,
    "calibration_lengths": int,
    "evaluation_windows": int,
    "evaluation_lengths": int,
    "limits": _limit,
    "seeds": int,
}
