"""The Export page's sections: what will be written, how far it is, what its readers said."""

from __future__ import annotations

import time

import streamlit as st

from pages._ui import messages, servers, wording
from pages._ui.export import engine
from qcore.errors import QuantscopeError
from qcore.export.gguf.choice import BITS, container_of
from qcore.export.records import Export
from qcore.export.rules import TARGETS, obstacles, servability
from qcore.formats.format import named
from qcore.report.report import Report

POLL_SECONDS = 2.0
STARTING_SECONDS = 120.0
"""Until an export should have said its first word."""
_READ_BY = {"compressed-tensors": TARGETS[:2], "gguf": TARGETS[2:]}


def refusal(report: Report, layout: str) -> str:
    """Why a run cannot be exported to a layout; empty where one of its readers could run it."""
    stops = [obstacles(report.recipe, target) for target in _READ_BY[layout]]
    return "" if any(not each for each in stops) else "; ".join(stops[0])


def foretell(report: Report, layout: str) -> None:
    """Say what will be written, how large, and who could load it by its rules."""
    st.markdown(
        f"Writes about **{wording.size(size_of(report, layout))}**; the report counts "
        f"{wording.size(report.volume.total_bytes)}, floats as 16 bits. Codes, scales, "
        "configuration, tokenizer, chat template, and what proves them."
    )
    for verdict in servability(report.recipe):
        if verdict.target in _READ_BY[layout]:
            st.markdown(servers.line(verdict))


def size_of(report: Report, layout: str) -> int:
    """Bytes that an export takes, nearly: the tokenizer and what proves it come on top."""
    volume = report.volume
    if layout == "gguf":
        parts = [
            row.parameters * BITS[container_of(named(row.format))] / 8 for row in report.layers
        ]
        return round(sum(parts)) + volume.float_bytes
    wide = 2 if report.recipe.model.dtype == "float32" else 1
    return volume.element_bytes + wide * (volume.scale_bytes + volume.float_bytes)


def follow(report: str) -> None:
    """Show a run's exports, drawn anew every few seconds: they may be started elsewhere, too."""
    st.fragment(_draw, run_every=POLL_SECONDS)(report)


def _draw(report: str) -> None:
    found = engine.exports_of(report)
    begun = st.session_state.get(f"export.begun.{report}", 0.0)
    if begun > max((one.time for one in found), default=0.0):
        patience = time.time() - begun < STARTING_SECONDS
        said = "Starting: loading the program" if patience else "It has not started: see exports/"
        st.caption(f":material/progress_activity: {said}")
    for one in found:
        with st.container(border=True):
            _one(one)


def _one(one: Export) -> None:
    st.markdown(
        f"**{engine.LAYOUTS.get(one.layout, messages.escape(one.layout))}** · "
        f"{wording.clock(one.time)}"
    )
    if one.state == "running":
        share = min(one.done / one.total, 1.0) if one.total else 0.0
        st.progress(share, f"{one.stage} {messages.escape(one.message)}".strip() or "starting")
    elif one.state == "failed":
        st.error(messages.escape(one.error), icon=":material/block:")
    elif one.state == "stopped":
        st.warning(
            "It stopped before it was done; nothing is left at its place. Export it again.",
            icon=":material/warning:",
        )
    else:
        _outcome(one)


def _outcome(one: Export) -> None:
    for verdict in one.verdicts:
        st.markdown(servers.line(verdict))
    st.caption(
        f"{wording.size(one.bytes)} on disk; the report counts {wording.size(one.promised)} "
        "with 16-bit floats. Check it again at any time: python -m qcore verify FOLDER"
    )
    st.code(one.path, language=None)
    for title, language, text in commands(one):
        st.caption(title)
        st.code(text, language=language)


def commands(one: Export) -> list[tuple[str, str, str]]:
    """How to serve an export: title, language, text."""
    if one.layout == "gguf":
        return [("llama.cpp", "sh", f"llama-server --model '{one.path}/model.gguf'")]
    only = any("dequantize=True" in verdict.why for verdict in one.verdicts)
    more = ", quantization_config=CompressedTensorsConfig(dequantize=True)" if only else ""
    names = "AutoModelForCausalLM, AutoTokenizer" + (", CompressedTensorsConfig" if only else "")
    return [
        (
            "transformers",
            "python",
            f"from transformers import {names}\n\n"
            f"folder = {one.path!r}\n"
            f'model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto"{more})\n'
            "tokenizer = AutoTokenizer.from_pretrained(folder)",
        ),
        ("vLLM (not run here)", "sh", f"vllm serve '{one.path}'"),
    ]


def verdicts(report: str) -> None:
    """A run's verdicts, a line each; nothing where it was never exported."""
    for one in engine.exports_of(report):
        if one.state == "done":
            for verdict in one.verdicts:
                st.markdown(servers.line(verdict))


def begin(report: Report, layout: str, name: str) -> None:
    """Start the export, or say why it cannot be."""
    try:
        engine.start(report.id, layout, name)
    except QuantscopeError as error:
        st.session_state["export.problem"] = messages.sentence(error)
    else:
        st.session_state[f"export.begun.{report.id}"] = time.time()
