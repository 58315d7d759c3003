"""The Suffixes page's sections: the process, its training, one running case, quantized runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages._ui import downloads, messages, wording
from pages._ui.figures.view import draw_figure
from pages._ui.suffix import charts, controls, engine, tables
from qcore.jobs.protocol import Job, JobState
from qcore.machine.devices import devices
from qcore.recipe import Recipe
from qcore.recipe.titles import title_of
from qcore.report.report import Report
from qcore.report.summary import Summary

if TYPE_CHECKING:
    from qcore.suffix.facts import LogFacts

_UNSHOWN = ("id", "method")
_TICK = 1.0
"""Seconds between two looks at what runs."""


def draw_process(facts: LogFacts, notes: Sequence[str], best: float | None) -> None:
    """Draw what a log holds, and its directly-follows graph."""
    cells = st.columns(5)
    cells[0].metric("Cases", f"{facts.cases:,}", border=True)
    cells[1].metric("Events", f"{facts.events:,}", border=True)
    cells[2].metric("Activities", f"{len(facts.activities):,}", border=True)
    cells[3].metric(
        "Variants",
        f"{facts.variants:,}",
        border=True,
        help=f"Distinct sequences; {facts.common:.0%} of the cases follow the most common one.",
    )
    cells[4].metric(
        "Events of a case",
        f"{facts.median:g}",
        border=True,
        help=f"The median; {facts.shortest} to {facts.longest}.",
    )
    for note in notes:
        st.caption(f":material/info: {messages.escape(note)}.")
    main, aside = st.columns([2, 1], gap="large")
    with main:
        share = st.slider(
            "Share of what directly follows that is drawn",
            0.5,
            1.0,
            0.95,
            0.01,
            format="percent",
            key="suffix.share",
        )
        pairs = tables.kept_pairs(facts, share)
        draw_figure(
            charts.graph(facts, pairs),
            key="suffix.graph",
            name="process",
            alt=f"The directly-follows graph of {len(facts.activities)} activities",
        )
        st.caption(
            "What to notice: an arrow says what came next, not why. Choices far apart that depend "
            f"on each other look free here. {len(pairs)} of {len(facts.follows)} arrows are drawn."
        )
    with aside:
        draw_figure(
            charts.case_lengths(facts),
            key="suffix.lengths",
            name="case-lengths",
            alt="How many cases have how many events",
        )
        if best is not None:
            st.metric(
                "Best possible similarity",
                f"{best:.3f}",
                border=True,
                help="What a predictor reaches that knows the process itself: the built-in one is "
                "declared, so that can be computed.",
            )
        downloads.as_csv(st.container(), lambda: tables.follows(facts), "directly-follows")


def draw_training(recipe: Recipe, report: Report | None) -> None:
    """Draw the training's losses, live while a job runs, or the button that starts it."""
    jobs = [] if report else engine.jobs_of(recipe)
    going = next((job for job in jobs if not job.state.ended), None)
    if going is not None:
        st.fragment(_watch, run_every=_TICK)(recipe, going.id)
        return
    epochs = report.suffix.epochs if report and report.suffix else engine.losses(recipe)
    if report is None:
        _offer_training(recipe, next(iter(jobs), None), len(epochs))
    if epochs:
        _draw_losses(epochs)


def _offer_training(recipe: Recipe, last: Job | None, done: int) -> None:
    if last is not None and last.state is JobState.FAILED:
        st.error(messages.escape(last.message), icon=":material/error:")
    part = recipe.suffix
    assert part is not None
    material = engine.material(recipe)
    st.markdown(
        f"{len(material.split.train):,} cases train, {len(material.split.validate):,} validate, "
        f"{len(material.split.test):,} test: {len(material.learn):,} prefixes to learn from."
    )
    _draw_needs(recipe)
    label = f"Go on after epoch {done}" if done else "Train this network"
    if st.button(label, type="primary", icon=":material/model_training:"):
        engine.queue().submit([recipe])
        st.rerun()


def _draw_needs(recipe: Recipe) -> None:
    """Say what the run takes, and whether this machine has it."""
    cost = engine.price(recipe)
    if not cost.memory:
        return
    taken = "" if cost.seconds is None else f" and takes {wording.duration(cost.seconds)}"
    st.caption(f":material/memory: Needs about {wording.memory(cost.memory)} of memory{taken}.")
    room = min(device.memory_bytes for device in devices() if device.name == "cpu")
    if cost.memory > room:
        st.warning(
            f"This machine has {wording.memory(room)} of memory: the run may be ended by the "
            "system. Choose a part of the log, or a smaller state.",
            icon=":material/memory:",
        )


def _watch(recipe: Recipe, name: str) -> None:
    """The running job's state and losses, drawn anew at every tick."""
    queue = engine.queue()
    queue.tick()
    job = queue.status(name)
    if job.state.ended:
        st.rerun()
    words = messages.escape(job.message or str(job.state))
    st.progress(min(1.0, job.done / job.total) if job.total else 0.0, text=f"{job.stage} · {words}")
    if st.button("Stop", icon=":material/stop_circle:", key="suffix.stop"):
        queue.cancel(name)
    epochs = engine.losses(recipe)
    if epochs:
        _draw_losses(epochs)


def _draw_losses(epochs) -> None:
    draw_figure(
        charts.losses(epochs),
        key="suffix.losses",
        name="losses",
        alt=f"Training and validation loss of {len(epochs)} epochs",
    )
    st.caption(
        "What to notice: the network that is kept is that of the ringed epoch. Validation is "
        "scored without dropout on a running average of the weights, so it may lie below training."
    )


def draw_scores(report: Report) -> None:
    """Draw the float network's similarity beside the baselines', whole and by prefix length."""
    found = report.suffix
    assert found is not None
    similarity = report.metric("similarity")
    assert similarity is not None
    cells = st.columns(4)
    cells[0].metric(
        "Similarity",
        f"{similarity.value:.3f}",
        border=True,
        help=f"{similarity.definition}. 95 % interval over cases: "
        f"{wording.interval(similarity.low, similarity.high, 3)}",
    )
    exact = report.metric("exact")
    cells[1].metric("Exact suffixes", f"{exact.value:.1%}" if exact else "–", border=True)
    cells[2].metric("Lookup", f"{found.baselines['lookup']:.3f}", border=True)
    cells[3].metric("Markov", f"{found.baselines['markov']:.3f}", border=True)
    table = tables.lengths(report)
    draw_figure(
        charts.by_length(table),
        key="suffix.by-length",
        name="similarity-by-length",
        alt="Similarity by length of the prefix, of the network and two baselines",
    )
    st.caption(
        "What to notice: lookup gives the most frequent continuation of the longest prefix that "
        "training has seen, Markov looks at the last activity alone. Where the network's line is "
        "not above theirs, it has learned nothing that counting does not give."
    )
    downloads.as_csv(st.container(), table, "similarity-by-length")


def draw_prefix(plain: Recipe, runs: Sequence[Summary]) -> None:
    """Let a running case be built, and draw what may follow."""
    material = engine.material(plain)
    longer = [at for at in material.split.test[:500].tolist() if material.log.lengths[at] > 2]
    left, middle, right = st.columns([2, 2, 3], vertical_alignment="bottom")
    case = left.selectbox(
        "Start from test case",
        longer,
        format_func=lambda at: material.log.cases[at],
        key="suffix.case",
    )
    most = int(material.log.lengths[case]) - 1
    seen = 2
    if most > 2:
        seen = middle.slider("Events seen", 2, most, min(3, most), key=f"suffix.seen.{case}")
    by_id = {run.id: run for run in runs}
    chosen = right.selectbox(
        "Answers of",
        sorted(by_id, key=lambda name: by_id[name].recipe.weights is not None),
        format_func=lambda name: title_of(by_id[name].recipe),
        key="suffix.answers",
    )
    start, end = material.log.starts[case], material.log.starts[case] + seen
    names = [material.log.names[at] for at in material.log.activity[start:end]]
    seconds = material.log.seconds[start:end]
    waits = [0.0, *((seconds[1:] - seconds[:-1]) / 3600).round(3).tolist()]
    edited = st.data_editor(
        pd.DataFrame({"Activity": names, "Hours since the last": waits}),
        num_rows="dynamic",
        width="stretch",
        column_config={
            "Activity": st.column_config.SelectboxColumn(
                options=list(material.log.names), required=True
            ),
            "Hours since the last": st.column_config.NumberColumn(min_value=0.0, default=1.0),
        },
        key=f"suffix.prefix.{engine.training_key(plain)[:8]}.{case}.{seen}",
    ).dropna()
    activities = [str(name) for name in edited["Activity"]]
    hours = [float(hour) for hour in edited["Hours since the last"]]
    recipe = by_id[chosen].recipe if chosen else plain
    told = engine.forecast(recipe, activities, hours)
    if told is None or case is None:
        st.warning(
            "The cache has lost this run's network. Run it again from its report.",
            icon=":material/info:",
        )
        return
    vocabulary = engine.vocabulary(recipe)
    likeliest = [vocabulary[at] for at in told.likeliest]
    expected = [vocabulary[at] for at in told.expected[0]]
    st.markdown(f"**Likeliest step by step:** {messages.escape(tables.spoken(likeliest))}")
    st.markdown(
        f"**Least expected distance:** {messages.escape(tables.spoken(expected))} "
        f"(expected similarity {told.expected[1]:.2f})"
    )
    if activities == names:
        rest = material.log.activity[end : material.log.starts[case + 1]]
        true = tables.spoken([material.log.names[at] for at in rest])
        st.markdown(f"**What truly followed:** {messages.escape(true)}")
    alpha = st.slider(
        "α of the beam's score, log p / (events + 1)^α", 0.0, 2.0, 0.7, 0.1, key="suffix.alpha"
    )
    table = tables.beam(told, vocabulary, alpha)
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        column_config={
            "Suffix": st.column_config.TextColumn(width="large"),
            "Probability": st.column_config.NumberColumn(format="%.2f %%"),
            "Score": st.column_config.NumberColumn(format="%.3f"),
        },
    )
    st.caption(
        "What to notice: at α = 0 the beam prefers short suffixes, as every further event makes a "
        "suffix less likely. The probabilities do not change, their order does."
    )
    downloads.as_csv(st.container(), table, "beam")
    draw_figure(
        charts.attention(told.attention, activities, [*likeliest, "(end)"]),
        key="suffix.attention",
        name="attention",
        alt="The decoder's attention over the prefix while it writes the likeliest suffix",
    )
    st.caption(
        "Where the network looks while it writes its likeliest suffix: brighter is more, and every "
        "row sums to 1."
    )


def draw_quantization(plain: Recipe, report: Report, runs: Sequence[Summary]) -> None:
    """Draw the knobs, the runs that wait, and the finished ones of this network."""
    recipes = controls.choose_quantization(plain)
    done = {run.recipe.digest for run in runs}
    waiting = {job.recipe.digest for job in engine.jobs_of(plain) if not job.state.ended}
    new = [recipe for recipe in recipes if recipe.digest not in done | waiting]
    label = f"Quantize: {wording.count(len(new), 'run')}" if new else "All of these have run"
    if st.button(label, type="primary", icon=":material/play_arrow:", disabled=not new):
        engine.queue().submit(new)
        st.rerun()
    if waiting:
        st.fragment(_wait, run_every=_TICK)(plain, len(waiting))
    if len(runs) < 2:
        st.caption("Finished runs of this network stand here, by size and quality.")
        return
    table = tables.runs(runs)
    metric = st.segmented_control(
        "Quality",
        ["Similarity", "Identical to float"],
        default="Similarity",
        required=True,
        key="suffix.quality",
    )
    assert report.suffix is not None
    levels = report.suffix.baselines
    lines = {name: levels[name] for name in ("float", "lookup", "markov")}
    draw_figure(
        charts.sizes(table, metric, lines if metric == "Similarity" else {}),
        key="suffix.sizes",
        name="suffix-sizes",
        alt=f"{metric} of {len(table)} runs over bits per weight",
    )
    st.caption(
        "What to notice: similarity may hold where the answers have changed. The share of suffixes "
        "identical to the float network's falls first."
    )
    st.dataframe(
        table.drop(
            columns=[
                name
                for name in table.columns
                if name in _UNSHOWN or name.endswith(("/low", "/high"))
            ]
        ),
        hide_index=True,
        width="stretch",
        column_config={
            name: st.column_config.NumberColumn(format="%.4g")
            for name in table.columns
            if name not in ("id", "Run", "method")
        },
    )
    with st.container(horizontal=True):
        downloads.as_csv(st.container(width="content"), table, "suffix-runs")
        ids = ",".join(run.id for run in runs[:6])
        for page, name in (("pareto", "Pareto"), ("compare", "Compare")):
            st.page_link(f"pages/{page}.py", label=name, query_params={"runs": ids})


def _wait(plain: Recipe, before: int) -> None:
    """Say how many runs wait; draw the page anew when one has ended."""
    engine.queue().tick()
    left = [job for job in engine.jobs_of(plain) if not job.state.ended]
    if len(left) != before:
        st.rerun()
    st.progress(0.0, text=f"{wording.count(len(left), 'run')} of this network wait or run")
