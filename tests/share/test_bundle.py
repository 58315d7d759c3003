"""What a bundle carries, and what it is elsewhere: the same numbers, marked, removable as one."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cache.store import Cache
from qcore import cli
from qcore.analysis.captures import captures, overview, site_statistics
from qcore.analysis.tokens import statistics_of, tokens_of
from qcore.errors import CorruptEntry, InvalidRecipe, ShareError
from qcore.explore.compare import compare
from qcore.pipeline import run
from qcore.pipeline.planning.preview import preview
from qcore.report.deletion import Deletion
from qcore.report.imported import Imports
from qcore.report.index import Index
from qcore.report.labels import Labels
from qcore.report.library import Library
from qcore.share.bundle import write_bundle
from qcore.share.intake import remove, take_in
from qcore.share.shelf import Carried, Shelf
from tests.pipeline.factories import numbers
from tests.share.helpers_zip import members_of


@pytest.fixture
def elsewhere(bundled: Path, tmp_path: Path) -> Path:
    """An empty home that took the bundle in."""
    with bundled.open("rb") as file:
        take_in(file, tmp_path, name="/somewhere/three.zip")
    return tmp_path


def test_imported_reports_are_the_exported_ones_to_the_last_digit(reports, elsewhere) -> None:
    library = Library(elsewhere)
    assert [library.get(report.id).to_json() for report in reports] == [
        report.to_json() for report in reports
    ]
    index = Index(library)
    index.refresh()
    assert {run.id for run in index.summaries()} == {report.id for report in reports}


def test_imported_runs_compare_as_they_did_at_home(reports, elsewhere) -> None:
    library = Library(elsewhere)
    assert compare([library.get(report.id) for report in reports]) == compare(reports)


def test_every_token_of_an_imported_run_is_there(shop, reports, elsewhere) -> None:
    shelf = Shelf(Cache(elsewhere / "cache"), Carried(Imports(elsewhere)))
    for report in reports:
        there, here = tokens_of(report, shelf), tokens_of(report, shop.cache)
        assert there is not None
        assert here is not None
        assert there.pieces == here.pieces
        assert np.array_equal(there.loss, here.loss)
        assert there.kl is not None
        assert here.kl is not None
        assert np.array_equal(there.kl, here.kl)
        assert statistics_of(report, shelf) == statistics_of(report, shop.cache)


def test_the_engine_never_sees_what_was_imported(reports, elsewhere) -> None:
    assert tokens_of(reports[0], Cache(elsewhere / "cache")) is None
    assert preview([reports[0].recipe], Cache(elsewhere / "cache"), root=elsewhere).finished == 0


def test_running_an_imported_recipe_measures_it_and_shows_ones_own(
    shop, reports, elsewhere
) -> None:
    made = run(
        reports[0].recipe,
        cache=Cache(elsewhere / "cache"),
        emit=lambda event: None,
        root=elsewhere,
        session=shop.session,
    )
    library = Library(elsewhere)
    assert made.id == reports[0].id
    assert made.created > reports[0].created
    assert library.owns(made.id)
    assert library.get(made.id).created == made.created
    assert numbers(made) == numbers(reports[0])


def test_what_is_said_of_runs_comes_along_but_replaces_nothing(bundled, reports, tmp_path) -> None:
    labels = Labels(tmp_path)
    with bundled.open("rb") as file:
        taken = take_in(file, tmp_path)
    label = labels.of(reports[0].id)
    assert (label.name, label.note, label.tags) == ("the first", "two\nlines", ("talk",))
    remove(tmp_path, taken.origin.bundle)
    assert not labels.all()
    labels.change([reports[0].id], name="mine")
    with bundled.open("rb") as file:
        take_in(file, tmp_path)
    assert labels.of(reports[0].id).name == "mine"
    assert not labels.of(reports[0].id).note


def test_an_import_says_where_it_came_from_and_goes_as_one(reports, elsewhere) -> None:
    library = Library(elsewhere)
    (origin,) = library.imports.origins()
    assert origin.file == "three.zip"
    assert origin.name == "Three tiny runs"
    assert library.imports.origin(reports[1].id) == origin
    remove(elsewhere, origin.bundle)
    assert not library.ids()
    assert not any((elsewhere / "imported").iterdir())
    index = Index(library)
    index.refresh()
    assert not index.summaries()


def test_an_index_notices_an_import_and_its_removal(bundled, tmp_path) -> None:
    index = Index(Library(tmp_path))
    index.refresh()
    assert not index.summaries()
    with bundled.open("rb") as file:
        taken = take_in(file, tmp_path)
    index.refresh()
    assert len(index.summaries()) == 3
    remove(tmp_path, taken.origin.bundle)
    index.refresh()
    assert not index.summaries()


def test_an_imported_run_cannot_be_deleted_alone(reports, elsewhere) -> None:
    deletion = Deletion(Library(elsewhere), Labels(elsewhere))
    with pytest.raises(InvalidRecipe, match="goes as a whole; archive the run, or remove all 3"):
        deletion.delete([reports[0].id])
    assert Library(elsewhere).has(reports[0].id)


def test_the_map_of_outliers_comes_along_without_the_captures(shop, reports, bundled) -> None:
    index = Index(Library(shop.root))
    index.refresh()
    (capture,) = captures(index.summaries(), shop.cache)[:1]
    records = json.loads(members_of(bundled)["records.json"])
    assert len(records["measures"]) == len(capture.blocks)
    widths = {place.width for place in overview(capture, shop.cache)}
    kept = [site["width"] for block in records["measures"].values() for site in block.values()]
    assert set(kept) == widths
    assert not re.search("hessian", "".join(members_of(bundled)))


def test_an_imported_map_of_outliers_is_the_exported_one(shop, reports, elsewhere) -> None:
    index = Index(Library(elsewhere))
    index.refresh()
    shelf = Shelf(Cache(elsewhere / "cache"), Carried(Imports(elsewhere)))
    (there,) = captures(index.summaries(), shelf)
    assert not captures(index.summaries(), Cache(elsewhere / "cache"))
    home = Index(Library(shop.root))
    home.refresh()
    here = next(c for c in captures(home.summaries(), shop.cache) if c.key == there.key)
    assert overview(there, shelf) == overview(here, shop.cache)
    with pytest.raises(CorruptEntry, match="bundles bring the map alone"):
        site_statistics(there, shelf, 0, "attention_input")


def test_the_tables_of_a_bundle_are_read_by_pandas(bundled, reports) -> None:
    members = members_of(bundled)
    runs = pd.read_parquet(io.BytesIO(members["runs.parquet"]))
    assert list(runs["run"]) == [report.id for report in reports]
    metric = reports[0].metric("perplexity")
    assert metric is not None
    assert runs["perplexity"][0] == metric.value
    windows = pd.read_parquet(io.BytesIO(members["windows.parquet"]))
    first = windows[windows["run"] == reports[0].id]
    assert tuple(first["loss"]) == reports[0].window_losses


def test_a_bundle_is_small(bundled) -> None:
    assert bundled.stat().st_size < 40_000 * 3


def test_a_bundle_replaces_no_file_unless_told(shop, reports, bundled) -> None:
    with pytest.raises(ShareError, match="exists already"):
        write_bundle(bundled, reports, shop.cache, {})


def test_a_bundle_of_no_runs_or_one_twice_is_refused(shop, reports, tmp_path) -> None:
    with pytest.raises(ShareError, match="no runs are chosen"):
        write_bundle(tmp_path / "a.zip", [], shop.cache, {})
    with pytest.raises(ShareError, match="stands twice"):
        write_bundle(tmp_path / "a.zip", [reports[0], reports[0]], shop.cache, {})
    assert not list(tmp_path.iterdir())


def test_a_bundle_in_no_folder_is_refused(shop, reports, tmp_path) -> None:
    with pytest.raises(ShareError, match="cannot be written there"):
        write_bundle(tmp_path / "none" / "a.zip", reports[:1], shop.cache, {})


def test_the_command_line_bundles_imports_lists_and_removes(
    shop, reports, tmp_path, monkeypatch, capsys
) -> None:
    out, other = tmp_path / "out.zip", tmp_path / "other"
    monkeypatch.setenv("QUANTSCOPE_HOME", str(shop.root))
    assert cli.main(["bundle", str(out), reports[0].id[:8], reports[1].id, "--title", "Two"]) == 0
    said = capsys.readouterr()
    assert "2 runs" in said.out
    assert "paths of this machine" in said.err
    monkeypatch.setenv("QUANTSCOPE_HOME", str(other))
    assert cli.main(["import", str(out), "--json"]) == 0
    taken = json.loads(capsys.readouterr().out)
    assert taken["runs"] == [reports[0].id, reports[1].id]
    assert cli.main(["import", str(out)]) == 1
    assert "is here already" in capsys.readouterr().err
    assert cli.main(["import", "--list"]) == 0
    assert capsys.readouterr().out.split() == [taken["bundle"], "2", "runs", "Two"]
    assert cli.main(["compare", reports[0].id, reports[1].id]) == 0
    assert cli.main(["import", "--remove", taken["bundle"][:6]]) == 0
    capsys.readouterr()
    assert cli.main(["import", "--remove", taken["bundle"]]) == 1
    assert cli.main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_command_line_chooses_runs_by_words_and_tags(
    shop, reports, bundled, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("QUANTSCOPE_HOME", str(shop.root))
    out = tmp_path / "out.zip"
    assert cli.main(["bundle", str(out), "--tag", "talk"]) == 0
    assert "1 runs" in capsys.readouterr().out
    assert cli.main(["bundle", str(out), "--filter", "int3", "--force"]) == 0
    assert cli.main(["bundle", str(out), "--force"]) == 1
    assert "no runs are named" in capsys.readouterr().err
    assert cli.main(["bundle", str(out), "abcd", "--tag", "x"]) == 1
    assert cli.main(["bundle", str(out), "--filter", "nothing has this", "--force"]) == 1
