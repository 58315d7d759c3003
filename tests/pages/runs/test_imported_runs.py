"""Runs that bundles brought stand in the table with their source, and can be filtered by it."""

from pathlib import Path

from cache.store import Cache
from pages._ui.runs import fields
from pages._ui.runs.engine import RunTable
from qcore.recipe import Recipe, Weights
from qcore.report.index import Index
from qcore.report.labels import Labels
from qcore.report.library import Library
from qcore.share.bundle import write_bundle
from qcore.share.intake import take_in
from tests.report.factories import report_of


def test_the_source_of_imported_runs_is_a_field_to_filter_by(tmp_path: Path) -> None:
    mine, both, theirs = (report_of(Recipe(weights=Weights(f))) for f in ("int8", "int4", "int3"))
    bundle, home = tmp_path / "theirs.zip", tmp_path / "home"
    write_bundle(bundle, [both, theirs], Cache(tmp_path / "cache"), {}, title="<b>Theirs</b>")
    library = Library(home)
    library.add(mine)
    library.add(both)
    index = Index(library)
    index.refresh()
    runs = RunTable(index, Labels(home))
    assert set(runs.table()["source"]) == {"measured here"}
    with bundle.open("rb") as file:
        take_in(file, home)
    index.refresh()
    table = runs.table()
    sources = dict(zip(table["id"], table["source"], strict=True))
    assert sources == {
        mine.id: "measured here",
        both.id: "measured here",
        theirs.id: "<b>Theirs</b>",
    }
    values = runs.fields(table["id"])
    assert fields.SOURCE in fields.choices(table, values)
    kept = fields.matching(table, values, "", {fields.SOURCE: ["<b>Theirs</b>"]})
    assert list(kept["id"]) == [theirs.id]
