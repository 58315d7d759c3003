"""Outside text on the page: shown as it is, rendered as nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import streamlit as st
from streamlit.testing.v1.element_tree import Block

from pages._ui.bits import engine
from pages._ui.messages import escape, plotly_text, sentence
from qcore.errors import InvalidRecipe
from qcore.jobs.protocol import JobState
from qcore.recipe import Recipe
from tests.explore.factories import layer_sizes, mixed_report, recipe_of, sensitivities
from tests.pages.helpers_hostile import NAME, hostile_report

PLAIN = {"selectbox", "multiselect", "dataframe", "code", "html"}
"""Elements that show text as it is."""


BAIT = re.compile(r"!\[x\]\(|(?<!\\)<b>bold|(?<!\\)<img src=http|\[a\]\(java|:material/home: ")


def elements(block):
    for child in block.children.values():
        if isinstance(child, Block):
            yield child
            yield from elements(child)
        else:
            yield child


def drawn(value) -> Iterator[str]:
    """Every text of a figure but the ids that clicks give back."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from drawn(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from drawn([] if key == "customdata" else each)


def assert_harmless(app) -> None:
    assert not app.exception, [item.value for item in app.exception]
    for element in elements(app._tree):
        if element.type == "bidi_component":
            for text in drawn(json.loads(json.loads(element.proto.json)["figure"])):
                assert "<b>bold" not in text, text
        elif element.type not in PLAIN and getattr(element, "proto", None) is not None:
            sent = re.sub(r'^ *(id|element_id|url|key): ".*"$', "", str(element.proto), flags=re.M)
            assert not BAIT.search(sent), (element.type, sent[:2000])


@pytest.mark.parametrize("text", ["SmolLM2-135M", "4.5 bits, 12 runs", "/home/me/my model"])
def test_an_ordinary_name_stays_as_it_is(text):
    assert escape(text) == text
    assert plotly_text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("- a", r"\- a"),
        ("12. b", r"12\. b"),
        ("a\n\n# b", r"a \# b"),
        ("\x1b[31mred\u202e", r"\[31mred"),
        ("<b>&amp;", r"\<b\>\&amp;"),
    ],
)
def test_what_would_begin_markup_is_shown_instead(text, shown):
    assert escape(text) == shown


def test_an_endless_error_is_cut():
    assert len(sentence(InvalidRecipe("x" * 100_000, remedy="y" * 100_000))) < 4000


@pytest.mark.parametrize("page", ["home", "pareto"])
def test_hostile_names_in_reports_render_nothing(bench, page):
    for name in ("int8", "int4"):
        bench.library.add(hostile_report(Recipe.from_dict({"weights": {"format": name}})))
    app = bench.open(page)
    assert_harmless(app)
    if page == "pareto":
        app.query_params["runs"] = ",".join(bench.library.ids())
        assert_harmless(app.run())


def test_hostile_layers_render_nothing_on_bits(bench, monkeypatch):
    layers = tuple(
        type(each)(
            f"{each.block}.{NAME}.{at}", each.block, f"{NAME}{at % 7}", each.inputs, each.outputs
        )
        for at, each in enumerate(layer_sizes())
    )
    table = sensitivities(layers)
    st.cache_resource.clear()  # solvers of these recipes, kept for layers of other names
    monkeypatch.setattr(engine, "cached", lambda recipe: table)
    for method in ("uniform", "knapsack"):
        bench.library.add(mixed_report(recipe_of(method), table, notes=(NAME,)))
    assert_harmless(bench.open("bits"))


def test_hostile_jobs_render_nothing(bench):
    recipe = Recipe.from_dict({"model": {"source": "hub", "name": "a/b"}})
    bench.queue.add(recipe, JobState.FAILED, message=NAME, device=NAME)
    bench.queue.add(recipe, JobState.RUNNING, message=NAME, device=NAME, started=1.0)
    assert_harmless(bench.open("jobs"))
    assert_harmless(bench.open("home"))
