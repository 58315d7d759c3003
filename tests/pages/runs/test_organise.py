"""Runs are named, tagged, archived and deleted where they are looked at."""

from __future__ import annotations

import pytest

from pages._ui import engine
from qcore.recipe import Recipe, Rounding, Weights
from qcore.report.labels import Labels
from tests.pages.helpers_app import spec
from tests.report.factories import report_of

HOSTILE = "<script>alert(1)</script> **bold** :material/home: [x](http://a.b) שלום"


@pytest.fixture
def runs(bench) -> list[str]:
    made = [
        report_of(
            Recipe(weights=Weights(name), rounding=Rounding(method)), perplexity=40.0 + number
        )
        for number, (name, method) in enumerate(
            [("int4", "rtn"), ("int4", "gptq"), ("int3", "rtn"), ("int3", "gptq")]
        )
    ]
    return [bench.library.add(report).id for report in made]


def button(app, label: str):
    return next(item for item in app.button if item.label == label)


def labels_of(app) -> set[str]:
    return {item.label for item in app.button}


def shown(app) -> list[str]:
    return list(app.dataframe[0].value["id"])


def said(app) -> str:
    parts = [*app.markdown, *app.caption, *app.info, *app.warning, *app.error, *app.subheader]
    return "\n".join(str(part.value) for part in parts)


def test_a_run_is_named_tagged_and_pinned_in_a_dialog(bench, runs):
    app = bench.open("pareto", runs=runs[2])
    button(app, "Label").click().run()
    app.get_by_key("label.name").set_value("the one for the talk")
    app.get_by_key("label.tags").set_value([])
    app.get_by_key("label.note").set_value("a note\nof two lines")
    app.get_by_key("label.pin").set_value(True)
    app.get_by_key("label.save").click().run()
    assert not app.exception
    label = engine.labels().of(runs[2])
    assert (label.name, label.note, label.pinned) == (
        "the one for the talk",
        "a note\nof two lines",
        True,
    )
    app.run()
    table = app.dataframe[0].value
    assert table["id"].iloc[0] == runs[2]
    assert table["title"].iloc[0] == "the one for the talk"


def test_a_hostile_name_is_text_on_every_page(bench, runs, tmp_path):
    Labels(tmp_path).change(
        [runs[0]], name=HOSTILE[:100], note="<img src=x>", add_tags=["<b>t</b>"]
    )
    for page in ("home", "pareto", "compare"):
        app = bench.open(page, runs=f"{runs[0]},{runs[1]}")
        assert not app.exception
        assert "<script>" not in said(app).replace("\\<", "")


def test_archived_runs_are_left_out_until_asked_for(bench, runs, tmp_path):
    Labels(tmp_path).change([runs[0]], archived=True)
    app = bench.open("pareto")
    assert runs[0] not in shown(app)
    app.get_by_key("archived").set_value(True).run()
    assert runs[0] in shown(app)


def test_the_archive_button_archives_what_is_selected(bench, runs, tmp_path):
    app = bench.open("pareto", runs=f"{runs[0]},{runs[1]}")
    button(app, "Archive").click().run()
    assert {run for run in runs if Labels(tmp_path).of(run).archived} == {runs[0], runs[1]}


def test_a_deleted_run_comes_back_until_the_page_is_left(bench, runs):
    app = bench.open("pareto", runs=runs[1])
    button(app, "Delete").click().run()
    assert "measured numbers" in said(app)
    app.get_by_key("delete.yes").click().run()
    assert not app.exception
    app.run()
    assert runs[1] not in shown(app)
    assert "1 run deleted" in said(app)
    app.get_by_key("undo").click().run()
    app.run()
    assert runs[1] in shown(app)
    assert "Undo" not in labels_of(app)


def test_leaving_the_page_deletes_for_good(bench, runs, tmp_path):
    app = bench.open("pareto", runs=runs[1])
    button(app, "Delete").click().run()
    app.get_by_key("delete.yes").click().run()
    assert list((tmp_path / "deleted").iterdir())
    app.switch_page("pages/home.py").run()
    assert not list((tmp_path / "deleted").iterdir())
    assert not bench.library.has(runs[1])


def test_search_finds_words_of_titles_names_tags_and_notes(bench, runs, tmp_path):
    Labels(tmp_path).change([runs[3]], note="Strange outliers", add_tags=["paper"])
    app = bench.open("pareto")
    app.get_by_key("q").set_value("PAPER outliers").run()
    assert shown(app) == [runs[3]]
    app.get_by_key("q").set_value("no such thing").run()
    assert "No run passes" in said(app)


def test_a_field_of_the_recipe_filters_and_an_address_keeps_it(bench, runs):
    app = bench.open("pareto")
    app.get_by_key("fields").set_value(["weights.format"]).run()
    app.get_by_key("weights.format").set_value(["int3"]).run()
    assert set(shown(app)) == {runs[2], runs[3]}
    assert "2 of 4 runs shown" in said(app)


def test_only_fields_that_differ_are_offered(bench, runs):
    app = bench.open("pareto")
    offered = app.get_by_key("fields").options
    assert "Weights · format" in offered
    assert "Calibration · text" not in offered


def test_chosen_columns_are_remembered_by_another_session(bench, runs, tmp_path):
    app = bench.open("pareto")
    app.get_by_key("runs.columns.choice").set_value(["title", "rounding.method"]).run()
    assert Labels(tmp_path).choice("columns") == ["title", "rounding.method"]
    table = app.dataframe[0].value
    assert set(table["rounding.method"]) == {"rtn", "gptq"}
    del app.session_state["runs.columns"]
    app.run()
    assert app.get_by_key("runs.columns.choice").value == ["title", "rounding.method"]


def test_points_are_coloured_by_any_field(bench, runs):
    app = bench.open("pareto")
    app.get_by_key("colour").set_value("weights.format").run()
    traces = spec(app)["data"]
    assert {"int3", "int4"} <= {trace.get("name") for trace in traces}


def test_hidden_runs_leave_figure_and_table_until_shown_again(bench, runs):
    app = bench.open("pareto", runs=runs[0])
    button(app, "Hide").click().run()
    assert runs[0] not in shown(app)
    button(app, "Show 1 hidden run").click().run()
    assert runs[0] in shown(app)


def test_two_selected_runs_open_compare_in_one_click(bench, runs):
    app = bench.open("pareto", runs=f"{runs[0]},{runs[1]}")
    button(app, "Compare 2").click().run()
    assert app.title[0].value.startswith("Why is B better")
    assert app.multiselect[0].value == [runs[0], runs[1]]


def test_one_selected_run_is_held_against_the_pinned_baseline(bench, runs, tmp_path):
    Labels(tmp_path).change([runs[3]], baseline=True)
    app = bench.open("pareto", runs=runs[0])
    button(app, "Compare 2").click().run()
    assert app.multiselect[0].value == [runs[3], runs[0]]


def test_labels_that_cannot_be_read_are_said_and_runs_are_shown(bench, runs, tmp_path):
    (tmp_path / "labels.sqlite").write_bytes(b"no database " * 200)
    app = bench.open("pareto")
    assert len(shown(app)) == 4
    assert "no file of labels" in said(app).replace("\\", "")
