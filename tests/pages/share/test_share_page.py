"""The Share page: boards and bundles to save, bundles taken in, marked and removed as one."""

from __future__ import annotations

import io

import pytest

from cache.store import Cache
from pages._ui.share import engine
from qcore.recipe import Recipe, Weights
from qcore.report.labels import Labels
from qcore.report.report import Report
from qcore.share.bundle import make_bundle
from qcore.share.intake import take_in
from tests.pages.helpers_app import button, texts
from tests.report.factories import report_of


def reports(*formats: str) -> list[Report]:
    return [report_of(Recipe(weights=Weights(name))) for name in formats]


def bundle(made: list[Report], root, title: str) -> io.BytesIO:
    return io.BytesIO(make_bundle(made, Cache(root / "other"), {}, title=title)[0])


def downloads(app) -> list[str]:
    return [element.proto.label for element in app.get("download_button")]


@pytest.fixture
def two(bench) -> list[Report]:
    return [bench.library.add(report) for report in reports("int4", "int3")]


def test_an_empty_library_offers_the_demo_sweep_and_the_import(bench):
    app = bench.open("share")
    assert any(item.label == "Run the demo sweep" for item in app.button)
    assert "Import: runs of others" in texts(app)


def test_a_board_is_made_of_all_runs(bench, two):
    app = bench.open("share")
    assert not downloads(app)
    button(app, "Make the board of 2 runs").click().run()
    assert not app.exception
    assert downloads(app)[0].startswith("Save quantscope-board.html (4.")


def test_runs_selected_elsewhere_are_the_ones_to_share(bench, two):
    app = bench.open("share", runs=two[0].id)
    assert button(app, "Make the board of 1 run")
    assert button(app, "Make the bundle of 1 run")


def test_a_board_that_is_no_longer_what_is_asked_for_is_not_offered(bench, two):
    app = bench.open("share")
    button(app, "Make the board of 2 runs").click().run()
    assert downloads(app)
    app.text_input(key="share.title").input("Another").run()
    assert not downloads(app)


def test_a_bundle_that_names_folders_says_so(bench):
    recipe = Recipe.from_dict({"model": {"source": "folder", "name": "/srv/secret/model"}})
    bench.library.add(report_of(recipe))
    app = bench.open("share")
    button(app, "Make the bundle of 1 run").click().run()
    assert downloads(app)[0].startswith("Save quantscope-runs.zip")
    assert "/srv/secret/model" in app.warning[0].value.replace("\\", "")


def test_no_run_chosen_makes_nothing(bench, two):
    app = bench.open("share")
    app.toggle(key="share.all").set_value(False).run()
    assert button(app, "Make the board of 0 runs").disabled
    assert button(app, "Make the bundle of 0 runs").disabled


def test_an_import_is_listed_with_its_runs_and_removed_as_one(bench, tmp_path):
    take_in(bundle(reports("int8", "int2"), tmp_path, "*Theirs* <b>"), tmp_path)
    app = bench.open("share")
    assert "Theirs" in texts(app)
    assert "2 runs" in texts(app)
    button(app, "Remove").click().run()
    assert not app.exception
    assert "Removed" in app.success[0].value
    assert not bench.library.ids()


def test_taking_in_says_what_was_measured_here_too(bench, tmp_path, two):
    origin, own, differing = engine.take_in(
        bundle([two[0], *reports("int8")], tmp_path, "Theirs"), "x.zip"
    )
    assert (origin.name, own, differing) == ("Theirs", 1, 0)
    assert len(bench.library.ids()) == 3
    assert not Labels(tmp_path).all()
