"""New run: the count, what is refused, presets, clones and uploads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pages._ui import engine
from pages._ui.form.presets import FOUNDATIONS
from qcore.errors import DataError
from qcore.models.limits import length_notes
from qcore.recipe import Recipe
from tests.pages.helpers_app import texts
from tests.report.factories import report_of


def test_the_count_follows_the_knobs_and_submit_queues_the_expanded_sweep(bench):
    app = bench.open("new_run")
    assert app.metric[0].value == "1"
    app.get_by_key("knob.weights.format/none").set_value(["+"]).run()
    app.get_by_key("knob.weights.format/symmetric").set_value(["int8", "int4", "int3"]).run()
    app.get_by_key("knob.scales.method").set_value(["absmax"]).run()
    app.get_by_key("knob.rounding.method").set_value(["+", "rtn", "gptq"]).run()
    app.get_by_key("knob.weights.group").set_value(["+", None, 64]).run()
    assert app.metric[0].value == "12"
    app.get_by_key("submit").click().run()
    assert {r.digest for r in bench.queue.submitted} == {r.digest for r in FOUNDATIONS.recipes()}


def test_an_invalid_combination_cannot_be_submitted_and_says_why(bench):
    app = bench.open("new_run")
    app.get_by_key("knob.rounding.method").set_value(["gptq"]).run()
    app.get_by_key("knob.calibration.text").set_value([None]).run()
    assert app.get_by_key("submit").disabled
    assert "Gptq needs calibration text" in texts(app).replace("\\", "")


@pytest.mark.parametrize(
    ("key", "typed", "sentence"),
    [
        ("knob.evaluation.windows", "many", "is no number"),
        ("knob.evaluation.windows", "", "Nothing is chosen"),
        ("knob.evaluation.length", "1", "out of range"),
        ("knob.seed", "-1", "out of range"),
    ],
)
def test_a_number_that_does_not_fit_is_refused_with_a_sentence(bench, key, typed, sentence):
    app = bench.open("new_run")
    app.get_by_key(key).set_value(typed).run()
    assert app.get_by_key("submit").disabled
    assert sentence in texts(app)


def test_what_the_preview_refuses_cannot_be_submitted(bench, monkeypatch):
    def refuse(recipes):
        raise DataError("text file a.txt is empty", remedy="name another")

    monkeypatch.setattr(engine, "preview", refuse)
    app = bench.open("new_run")
    assert app.get_by_key("submit").disabled
    assert "Name another." in texts(app)


def test_what_a_recipe_asks_beyond_its_network_is_said_in_the_form(bench, monkeypatch):
    plain = engine.preview
    (note,) = length_notes(Recipe(), context=64)[:1]
    monkeypatch.setattr(
        engine,
        "preview",
        lambda recipes: SimpleNamespace(**{**vars(plain(recipes)), "notes": (note,)}),
    )
    assert "are longer than the 64 tokens" in note
    assert note in texts(bench.open("new_run")).replace("\\", "")


def test_the_form_keeps_its_knobs_while_another_page_is_open(bench):
    app = bench.open("new_run")
    app.get_by_key("knob.weights.format/none").set_value(["+"]).run()
    app.get_by_key("knob.weights.format/symmetric").set_value(["int8", "int3"]).run()
    app.switch_page("pages/jobs.py").run()
    app.switch_page("pages/new_run.py").run()
    assert app.get_by_key("knob.weights.format/symmetric").value == ["int8", "int3"]


def test_a_preset_fills_the_form(bench):
    app = bench.open("new_run")
    app.get_by_key("preset").set_value(FOUNDATIONS.name).run()
    assert app.metric[0].value == "12"
    assert FOUNDATIONS.question in texts(app)


def test_a_clone_link_fills_the_form_from_a_run(bench):
    source = report_of(Recipe.from_dict({"weights": {"format": "mxfp4"}, "seed": 4_000_000_003}))
    bench.library.add(source)
    app = bench.open("new_run", clone=source.id)
    app.get_by_key("submit").click().run()
    assert bench.queue.submitted == [source.recipe]


def test_an_uploaded_sweep_fills_the_form_and_a_broken_one_is_refused(bench):
    app = bench.open("new_run")
    sweep = b'{"weights": {"format": ["int4", "int2"]}}'
    app.get_by_key("recipe.file").upload("s.json", sweep, "application/json").run()
    assert app.metric[0].value == "2"
    app.get_by_key("recipe.file").upload("s.json", b'{"wheels": 4}', "application/json").run()
    assert "nknown field wheels" in texts(app)
    assert not app.exception
