"""Which evaluation a page shows: the one with the most runs or the last used, said and linkable."""

from __future__ import annotations

import pytest

from pages._ui.runs import evaluations, tables
from qcore.recipe import Recipe
from tests.pages.helpers_app import specs, texts
from tests.report.factories import report_of, summary_of


def recipe_of(name: str, windows: int) -> Recipe:
    return Recipe.from_dict({"weights": {"format": name}, "evaluation": {"windows": windows}})


def add(bench, name: str, windows: int, created: float) -> str:
    return bench.library.add(report_of(recipe_of(name, windows), created=created)).id


@pytest.fixture
def mixed(bench):
    """Three older runs of 8 windows, a newer one of 4."""
    for at, name in enumerate(("int3", "int4", "int8")):
        add(bench, name, 8, 1000.0 + at)
    add(bench, "int4", 4, 2000.0)
    return bench


def drawn(app) -> int:
    traces = [trace for trace in specs(app)[0]["data"] if "customdata" in trace]
    return sum(len(trace["customdata"]) for trace in traces)


def key_of(windows: int) -> str:
    table = tables.runs([tables.row(summary_of(recipe_of("int4", windows)))])
    return evaluations.found_in(table)[0].key


@pytest.mark.parametrize("page", ["home", "pareto"])
def test_a_page_opens_with_the_evaluation_of_the_most_runs_and_says_what_it_leaves_out(mixed, page):
    app = mixed.open(page)
    assert drawn(app) == 3
    popovers = [element.proto.popover.label for element in app.get("popover")]
    assert "1 more run was evaluated otherwise" in " ".join([texts(app), *popovers])
    assert app.query_params["evaluated"] in (key_of(8), [key_of(8)])


@pytest.mark.parametrize("page", ["home", "pareto"])
def test_an_address_opens_its_evaluation_and_runs_that_arrive_do_not_change_it(mixed, page):
    app = mixed.open(page, evaluated=key_of(4))
    assert drawn(app) == 1
    for at, name in enumerate(("int2", "int5", "int6")):
        add(mixed, name, 8, 3000.0 + at)
    assert drawn(app.run()) == 1


def test_what_was_chosen_on_one_page_is_shown_on_the_other(mixed):
    app = mixed.open("pareto")
    app.get_by_key("evaluation.evaluated").set_value(key_of(4)).run()
    assert drawn(app) == 1
    app.switch_page("pages/home.py").run()
    assert drawn(app) == 1


def test_a_link_to_a_run_alone_opens_the_evaluation_of_that_run(mixed):
    run = next(r for r in mixed.library.ids() if mixed.library.get(r).created == 2000.0)
    app = mixed.open("pareto")
    del app.query_params["evaluated"]
    app.query_params["runs"] = run
    assert drawn(app.run()) == 1


def test_an_unknown_evaluation_in_the_address_is_passed_over(mixed):
    assert drawn(mixed.open("pareto", evaluated="nonsense")) == 3


def test_evaluations_have_the_same_names_after_a_restart():
    assert key_of(8) == key_of(8) != key_of(4)
