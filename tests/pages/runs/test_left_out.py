"""Home and Pareto say which files are left out, and how far reading is."""

from __future__ import annotations

import threading

import pytest

from qcore.recipe import Recipe
from qcore.report import index as index_module
from qcore.report.library import Library
from tests.house.tree import page_addresses
from tests.pages.helpers_app import specs
from tests.report.factories import report_of
from tests.report.helpers_hostile import HOSTILE, hostile


@pytest.mark.parametrize("page", ["home", "pareto"])
def test_one_bad_file_is_a_line_and_never_takes_the_page_down(bench, page):
    bench.library.add(report_of(Recipe()))
    for number, kind in enumerate(HOSTILE):
        hostile(bench.library.root / "reports" / f"{number:016x}.json", kind)
    app = bench.open(page)
    assert not app.error, [item.value for item in app.error]
    assert len(specs(app)) == 1
    (line,) = app.expander
    assert line.label == f"{len(HOSTILE)} files in reports/ left out"
    said = [item.value for item in line.markdown]
    assert len(said) == len(HOSTILE)
    assert any("newer Quantscope" in item for item in said)
    assert not any("Traceback" in item or "Error:" in item for item in said)


@pytest.mark.parametrize("page", [name for name in page_addresses() if name not in ("", "pareto")])
def test_no_other_page_is_taken_down_by_bad_files(bench, page):
    good = bench.library.add(report_of(Recipe()))
    for number, kind in enumerate(HOSTILE):
        hostile(bench.library.root / "reports" / f"{number:016x}.json", kind)
    app = bench.open(page)
    if page == "compare":
        app.query_params["runs"] = ",".join([good.id, *(f"{at:016x}" for at in range(2))])
        app.run()
    assert not app.exception
    assert not any("Traceback" in item.value for item in [*app.error, *app.markdown, *app.caption])


def test_a_healthy_folder_says_nothing(bench):
    bench.library.add(report_of(Recipe()))
    app = bench.open("pareto")
    assert not app.expander


@pytest.mark.parametrize("page", ["home", "pareto"])
def test_a_page_does_not_wait_for_many_reports_nor_call_them_none(bench, page, monkeypatch):
    for seed in range(4):
        bench.library.add(report_of(Recipe(seed=seed)))
    monkeypatch.setattr(index_module, "FEW", 1)
    monkeypatch.setattr(index_module, "PATIENCE_SECONDS", 0.01)
    go_on, whole = threading.Event(), Library.read

    def slowly(library: Library, name: str):
        assert go_on.wait(60)
        return whole(library, name)

    monkeypatch.setattr(Library, "read", slowly)
    try:
        app = bench.open(page)
        said = " ".join(item.value for item in [*app.subheader, *app.caption, *app.markdown])
        assert "No finished runs yet" not in said
        assert "demo sweep takes" not in said
    finally:
        go_on.set()
