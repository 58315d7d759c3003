"""The Suffixes page's widgets: which log, which network, which quantization."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages._ui import messages, state, wording
from pages._ui.suffix import engine
from qcore.errors import DataError
from qcore.formats.format import FORMATS
from qcore.recipe import ModelRef, Recipe, SuffixPart
from qcore.recipe.suffix import FOLDS
from qcore.recipe.titles import format_label

PAGE = "suffix"
BUILT_IN = "built-in"
ROLES = ("case", "activity", "time")
CHOICES: dict[str, Sequence[Any]] = {
    "cell": ("gru", "lstm"),
    "hidden": (16, 32, 48, 64, 96, 128),
    "layers": (1, 2, 3),
    "epochs": (5, 10, 20, 40, 100),
    "split": ("cases", "time"),
    "fold": tuple(range(FOLDS)),
    "answer": ("argmax", "beam", "expected"),
    "cases": (200, 1000, 3000),
    "seed": (0, 1, 2),
}
ANSWERS = {"argmax": "Argmax", "beam": "Beam", "expected": "Least expected distance"}
WEIGHTS = ("int8", "int6", "int4", "int3", "int2", "mxfp8_e4m3", "mxfp6_e2m3", "mxfp4")
INPUTS = ("float", "int8_asym", "int4_asym", "mxfp8_e4m3", "mxfp4")
ROUNDINGS = {"rtn": "RTN", "gptq": "GPTQ", "gpfq": "GPFQ", "qronos": "Qronos"}
SCALES = {"absmax": "absmax", "mse": "MSE", "piso": "PiSO"}


def clone(recipe: Recipe) -> None:
    """Let the page open on the network of a finished run."""
    part = recipe.suffix
    if part is None:
        raise DataError("this run is of a language model", remedy="clone it from the page New run")
    chosen = {name: getattr(part, name) for name in CHOICES if name != "seed"}
    chosen |= {"seed": recipe.seed, "log": recipe.model.name or BUILT_IN}
    st.session_state[f"kept.{PAGE}"] = {name: str(value) for name, value in chosen.items()}
    for name in chosen:
        st.session_state.pop(f"{PAGE}.{name}", None)


def choose_log() -> tuple[str, tuple[str, ...]] | None:
    """Choose a log and its columns; None while something must be decided first.

    Returns:
        Its path, empty for the built-in process, and the columns of case, activity and time.

    Raises:
        DataError: the file has no header.
    """
    kept = [str(path) for path in engine.kept_logs()]
    named = _kept().get("log", "")  # a path in an address is from outside: it is not followed
    if named and named != BUILT_IN and named not in kept:
        kept.insert(0, named)
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    log = left.selectbox(
        "Event log",
        [BUILT_IN, *kept],
        key=state.settle(PAGE, "log", [BUILT_IN, *kept]),
        format_func=lambda path: (
            "Simulated process (built in)" if path == BUILT_IN else path.rsplit("/", 1)[-1]
        ),
    )
    with right.popover("Add a log", icon=":material/upload:", width="stretch"):
        _add_log()
    if log in (BUILT_IN, None):
        return "", ()
    return _ready(log)


def _add_log() -> None:
    file = st.file_uploader(
        "Upload a CSV or XES file, plain or gzip",
        type=["csv", "xes", "gz"],
        key="suffix.upload",
        help="One event a row: a case, an activity, a time. It stays on this machine.",
    )
    if file is not None and st.session_state.get("suffix.uploaded") != file.file_id:
        with messages.guard():
            path = engine.keep_upload(file.name, file.getvalue())
            st.session_state["suffix.uploaded"] = file.file_id
            st.session_state[f"kept.{PAGE}"] = _kept() | {"log": str(path)}
            st.session_state.pop(f"{PAGE}.log", None)
            st.query_params.pop("log", None)
            st.rerun()
    st.text_input(
        "Or name a file on this machine",
        key="suffix.path",
        placeholder="/data/log.xes.gz",
        help="For logs that are too large to upload. It is read where it lies.",
        on_change=_name_path,
    )


def _name_path() -> None:
    path = st.session_state["suffix.path"].strip()
    if path:
        st.session_state[f"kept.{PAGE}"] = _kept() | {"log": path}
        st.session_state.pop(f"{PAGE}.log", None)
        st.query_params.pop("log", None)


def _ready(log: str) -> tuple[str, tuple[str, ...]] | None:
    """The log with its columns, once its size is accepted."""
    engine.require_file(log)
    cost = engine.cost(log)
    if cost is not None and not st.session_state.get(f"suffix.read.{log}"):
        st.warning(
            f"About {cost.events:,} events: reading takes some {wording.memory(cost.memory)} of "
            f"memory and {wording.duration(cost.seconds)}, and an epoch of training far longer.",
            icon=":material/hourglass:",
        )
        if not st.button("Read it all the same", icon=":material/file_open:"):
            return None
        st.session_state[f"suffix.read.{log}"] = True
    names = engine.columns_of(log)
    if not names:
        return log, ()
    try:
        likely: tuple[str, ...] = engine.guessed(names)
    except DataError as error:
        st.warning(messages.sentence(error), icon=":material/help:")
        likely = tuple(names[min(at, len(names) - 1)] for at in range(3))
    chosen = []
    for place, role, guess in zip(st.columns(3), ROLES, likely, strict=True):
        chosen.append(
            place.selectbox(
                f"Column of the {role}",
                names,
                index=names.index(guess),
                key=f"suffix.column.{role}.{log}",
            )
        )
    return log, tuple(chosen)


def choose_network(log: str, columns: tuple[str, ...]) -> Recipe:
    """Choose the network and its training: a recipe that leaves it in float.

    Raises:
        InvalidRecipe: what was chosen does not go together.
    """
    top, more = st.columns([4, 1], vertical_alignment="bottom")
    with top:
        cell, hidden, layers, epochs, answer = st.columns(5, vertical_alignment="bottom")
    with more.popover("More", icon=":material/tune:", width="stretch"):
        split = _choose(st, "split", "Test cases", {"cases": "One of five folds", "time": "Latest"})
        fold = _choose(st, "fold", "Fold") if split == "cases" else 0
        cases = _choose(st, "cases", "Simulated cases") if not log else SuffixPart().cases
        seed = _choose(st, "seed", "Seed")
    part = SuffixPart(
        cell=_choose(cell, "cell", "Cell", {"gru": "GRU", "lstm": "LSTM"}),
        hidden=_choose(hidden, "hidden", "State's width"),
        layers=_choose(layers, "layers", "Layers"),
        epochs=_choose(epochs, "epochs", "Epochs at most"),
        answer=_choose(answer, "answer", "Answer", ANSWERS),
        split=split,
        fold=fold,
        columns=columns,
        cases=cases,
    )
    return Recipe(model=ModelRef(source="suffix", name=log), suffix=part, weights=None, seed=seed)


def choose_quantization(plain: Recipe) -> list[Recipe]:
    """Choose formats, scales and rounding: a recipe for every combination.

    Raises:
        InvalidRecipe: a combination that is none.
    """
    first, second, third = st.columns(3)
    weights = first.multiselect(
        "Weights", WEIGHTS, ["int8", "int4", "int3", "int2"], format_func=format_label
    )
    rounding = second.multiselect(
        "Rounding", list(ROUNDINGS), ["rtn", "gptq"], format_func=lambda name: ROUNDINGS[name]
    )
    scales = third.multiselect(
        "Scales", list(SCALES), ["absmax", "piso"], format_func=lambda name: SCALES[name]
    )
    first, second, third = st.columns(3)
    inputs = first.selectbox(
        "Inputs",
        INPUTS,
        format_func=lambda name: "Float" if name == "float" else format_label(name),
        help="What every matrix reads, recurrent states included; rounded at run time.",
    )
    group = second.selectbox(
        "Group",
        [None, 16, 32],
        format_func=lambda size: "One scale a row" if size is None else f"{size} weights",
        help="Weights that share a scale, of INT formats. Rows are padded with zeros.",
    )
    budget = third.selectbox(
        "Bit budget",
        [None, 3.0, 4.0, 5.0, 6.0],
        format_func=lambda bits: (
            "All matrices alike" if bits is None else f"{bits:g} bits, knapsack"
        ),
        help="INT2, 3, 4 and 8 compete for the matrices: least sum of KL within the budget.",
    )
    base = plain.to_dict()
    if inputs != "float":
        base["activations"] = {"format": inputs}
    found = []
    kinds = ["int2"] if budget else weights
    for name, how, scale in itertools.product(kinds, rounding, scales):
        data: dict[str, Any] = {**base, "rounding": {"method": how}, "scales": {"method": scale}}
        data["weights"] = dict[str, Any](format=name)
        if FORMATS[name].kind == "int" and group:
            data["weights"]["group"] = group
        if budget:
            data["precision"] = {
                "method": "knapsack",
                "budget": budget,
                "formats": ["int2", "int3", "int4", "int8"],
                "shared": False,
            }
        found.append(Recipe.from_dict(data))
    return found


def _choose(place: Any, name: str, label: str, words: dict[str, str] | None = None) -> Any:
    """A select box whose choice lasts and stands in the address."""
    options = list(CHOICES[name])
    default = 0 if name == "seed" else getattr(SuffixPart(), name)
    kept = _remembered(name)
    if kept and kept not in map(str, options):
        options.append(type(default)(kept))
    return place.selectbox(
        label,
        options,
        key=state.settle(PAGE, name, options, default),
        format_func=lambda value: (words or {}).get(str(value), str(value)),
    )


def remember(log: str, recipe: Recipe) -> None:
    """Keep what was chosen, here and in the address."""
    part = recipe.suffix
    assert part is not None
    usual = SuffixPart()
    chosen: dict[str, Any] = {"log": log or BUILT_IN, "seed": recipe.seed}
    chosen |= {name: getattr(part, name) for name in CHOICES if name != "seed"}
    defaults = {"log": BUILT_IN, "seed": 0}
    state.keep(  # an address says what is unusual
        PAGE,
        **{
            name: "" if value == defaults.get(name, getattr(usual, name, None)) else value
            for name, value in chosen.items()
        },
    )


def _kept() -> dict[str, str]:
    return st.session_state.get(f"kept.{PAGE}", {})


def _remembered(name: str) -> str:
    return str(st.query_params.get(name) or _kept().get(name, ""))
