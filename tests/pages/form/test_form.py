"""The form in the hand: one choice or several, faults where they are made, the way back."""

from __future__ import annotations

import threading

import pytest

from pages._ui import engine
from pages._ui.form import memory, summary
from pages._ui.form.controls import CONTROLS
from qcore.calibration import text
from qcore.recipe import Recipe
from qcore.recipe.axes import axes_of, counting, defaults
from qcore.recipe.relevance import paths
from qcore.recipe.sweep import expand


def said(app) -> str:
    return "\n".join(item.value for item in [*app.markdown, *app.error])


def test_every_path_of_a_recipe_has_one_control_with_a_label_of_its_own():
    assert set(CONTROLS) == set(paths())
    labels = [control.label for control in CONTROLS.values()]
    assert len(set(labels)) == len(labels)


def test_every_default_is_offered_where_it_is_clicked():
    clicked = [c for c in CONTROLS.values() if c.kind in ("pills", "texts")]
    assert all(defaults()[control.path] in control.offered for control in clicked)


def test_a_click_chooses_and_several_are_asked_for(bench):
    app = bench.open("new_run")
    rounding = app.get_by_key("knob.rounding.method")
    (chosen,) = rounding.value
    other = "qronos" if chosen != "qronos" else "gptq"
    rounding.set_value([chosen, other]).run()
    assert app.get_by_key("knob.rounding.method").value == [other]
    app.get_by_key("knob.rounding.method").set_value([]).run()
    assert app.get_by_key("knob.rounding.method").value == [other]
    app.get_by_key("knob.rounding.method").set_value(["gptq", "+", "rtn"]).run()
    assert app.metric[0].value == "2"


def test_a_format_of_another_sort_takes_the_place_of_the_chosen_one(bench):
    app = bench.open("new_run")
    app.get_by_key("knob.weights.format/mx").set_value(["mxfp4"]).run()
    assert app.get_by_key("knob.weights.format/symmetric").value == []
    app.get_by_key("submit").click().run()
    assert [run.weights.format for run in bench.queue.submitted] == ["mxfp4"]


def test_all_faults_are_said_at_once_each_at_its_field(bench):
    app = bench.open("new_run")
    app.get_by_key("knob.calibration.length").set_value("1").run()
    app.get_by_key("knob.evaluation.windows").set_value("many").run()
    app.get_by_key("knob.seed").set_value("-1").run()
    words = said(app)
    assert "3 fields need another value: Calibration length, Evaluation windows, Seed" in words
    assert "Window length 1 is out of range" in words
    assert "is no number that fits" in words
    assert "Seed -1 is out of range" in words
    assert app.get_by_key("submit").disabled


@pytest.mark.parametrize("typed", ["9" * 400, "9" * 5000, "1e999", "nan", "1e400", "٣" * 400])
@pytest.mark.parametrize("path", ["seed", "evaluation.windows", "expansion.percent"])
def test_a_number_that_no_type_holds_is_a_sentence_at_its_field(bench, path, typed):
    app = bench.open("new_run", rotation="true")
    app.get_by_key(f"knob.{path}").set_value(typed).run()
    assert not app.exception
    assert "is no number that fits" in said(app)
    assert len(said(app)) < 10_000


@pytest.mark.parametrize(
    "name",
    [
        "x" * 300,
        "/a/" + "y" * 5000,
        "~nosuchuser/model",
        "a\0b",
        "\x1b[31m",
        "/dev/null",
    ],
    ids=ascii,
)
def test_an_odd_folder_is_a_sentence_at_its_field(bench, name):
    app = bench.open("new_run")
    app.get_by_key("knob.model.source").set_value(["folder"]).run()
    app.session_state["kept.axes"] = {
        **app.session_state["kept.axes"],
        "model.name[folder]": (name,),
    }
    app.session_state["knob.model.name[folder]"] = [name]
    app.run()
    assert not app.exception
    assert "another value: Model folder" in said(app)
    assert app.get_by_key("submit").disabled


@pytest.mark.parametrize("path", ["x" * 300, "~nosuchuser/text", "/dev/zero", "no such file.txt"])
def test_a_text_that_cannot_be_read_is_said_at_its_field_and_can_be_left(bench, path):
    app = bench.open("new_run")
    app.get_by_key("knob.evaluation.text/file").set_value(path).run()
    assert not app.exception
    assert "another value: Perplexity text" in said(app)
    app.get_by_key("knob.evaluation.text").set_value(["lambada/evaluation"]).run()
    assert not app.get_by_key("submit").disabled


def test_a_text_that_does_not_answer_is_a_sentence_and_the_page_goes_on(bench, monkeypatch):
    hold = threading.Event()
    monkeypatch.setattr(engine, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(text, "text_digest", lambda name: hold.wait(60))
    app = bench.open("new_run")
    app.get_by_key("knob.evaluation.text/file").set_value("/mnt/share/a.txt").run()
    assert "a.txt could not be read within 0.1 s" in said(app)
    assert app.get_by_key("submit").disabled
    monkeypatch.setattr(engine, "PATIENCE_SECONDS", 60.0)
    hold.set()
    assert "could not be read" not in said(app.run())
    assert not app.exception


def test_a_reload_finds_the_form_as_it_was_left():
    axes = axes_of(
        expand(
            {
                "weights": {"format": ["int4", "int3"], "group": [None, 64]},
                "rotation": {},
                "precision": None,
                "rounding": {"method": "qronos", "damping": [None, 0.01], "inputs": "quantized"},
            }
        )
    )
    assert {**axes_of([Recipe()]), **memory.read_address(memory.address(axes))} == axes


def test_an_address_opens_the_form_and_follows_it(bench):
    app = bench.open("new_run", **{"rounding.method": '"gptq","rtn"', "seed": "oops"})
    assert app.metric[0].value == "2"
    assert app.get_by_key("knob.seed").value == "0"
    app.get_by_key("knob.seed").set_value("7").run()
    assert app.query_params["seed"] in ("7", ["7"])


def test_the_default_form_leaves_the_address_empty():
    assert memory.address(axes_of([Recipe()])) == {}


def test_unknown_sensitivities_are_counted_in_probes():
    told = summary.estimate(None, 1, 125.0, ("sensitivity", "assign"), 465)
    assert told == "at least 2 min 05 s; never timed here: sensitivity (465 probes), assign"


@pytest.mark.parametrize(
    ("seconds", "timed", "untimed", "words"),
    [
        (61.0, 61.0, (), "about 1 min"),
        (None, 0.0, ("quantize",), "never timed here: quantize"),
        (
            None,
            121.0,
            ("sensitivity", "sensitivity", "assign"),
            "never timed here: sensitivity (2 stages), assign",
        ),
    ],
)
def test_an_estimate_says_what_is_known_and_what_is_not(seconds, timed, untimed, words):
    told = summary.estimate(seconds, 3, timed, untimed)
    assert words in told
    assert ("at least" in told) == (seconds is None and timed > 0)


def test_what_no_run_looks_at_does_not_count():
    counted = counting(axes_of([Recipe()]))
    assert "weights.group" in counted
    assert not {"rotation.block", "weights.scale_rounding", "precision.budget"} & counted


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("model.name[folder]", r'"half \udc80"'),
        ("seed", "9" * 5000),
        ("seed", "[[[[" * 5000),
        ("expansion.percent", "1e999"),
        ("weights.format", "{}"),
        ("rotation", '"yes"'),
    ],
)
def test_an_odd_address_leaves_the_default(path, text):
    assert memory.read_address({path: text}) == {}
