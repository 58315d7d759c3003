"""What stands in a board's file: all that is drawn, within its size, and nothing that could run."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from pages._ui import palette
from qcore import cli
from qcore.errors import InvalidRecipe, ShareError
from qcore.report.labels import Label
from qcore.share.board import page as board_page
from qcore.share.board.data import board_data
from qcore.share.board.file import write_board
from qcore.share.board.page import SCRIPTS, board_script, packed, page
from qcore.share.intake import take_in
from tests.share.helpers_board import Nothing, many_reports, unpacked, with_tokens

FOLDER = Path(board_page.__file__).parent
DATA = re.compile(r'<script type="application/octet-stream" id="data">([^<]*)</script>')


@pytest.fixture(scope="session")
def data(shop, reports):
    return board_data(reports, shop.cache, {reports[0].id: Label(name="the first", tags=("talk",))})


def test_a_board_holds_every_run_with_its_windows_and_layers(data, reports) -> None:
    assert [run["id"] for run in data["runs"]] == [report.id for report in reports]
    first = data["runs"][0]
    assert (first["title"], first["tags"]) == ("the first", ["talk"])
    assert first["loss"] == pytest.approx(reports[0].window_losses, rel=1e-7)
    assert first["recipe"]["weights"] == reports[0].recipe.to_dict()["weights"]
    network = data["networks"][first["network"]]
    assert network["names"] == [layer.name for layer in reports[0].layers]
    assert first["weightError"] == pytest.approx(
        [layer.weight_error for layer in reports[0].layers], rel=1e-3
    )
    metric = reports[0].metric("perplexity")
    assert metric is not None
    at = [one["name"] for one in data["metrics"]].index("perplexity")
    assert first["values"][at][0] == pytest.approx(metric.value, rel=1e-6)


def test_a_board_holds_tokens_and_the_outliers_of_captures(data, reports) -> None:
    assert set(data["tokens"]["runs"]) == {report.id for report in reports}
    text = data["tokens"]["texts"][0]
    scored = data["tokens"]["runs"][reports[0].id]
    assert [len(window) for window in text] == [len(row) + 1 for row in scored["kl"]]
    assert len(data["tokens"]["texts"]) == 1
    (capture,) = data["captures"]
    assert len(capture["measures"]["kurtosis"]) == len(capture["blocks"])
    assert [curve["name"] for curve in capture["site"]["curves"]][:2] == ["before", "rotated"]


def test_no_folder_of_this_machine_stands_in_a_board(data, shop) -> None:
    text = json.dumps(data)
    for path in (shop.model, shop.text, shop.root):
        assert str(path) not in text
    assert data["runs"][0]["recipe"]["model"]["name"] == shop.model.name
    assert data["runs"][0]["recipe"]["evaluation"]["text"] == f"file:{shop.text.name}"


def test_the_data_comes_back_from_the_file(data) -> None:
    (found,) = DATA.findall(page(data))
    assert unpacked(found) == json.loads(json.dumps(data))


def test_a_board_of_an_imported_run_is_one_of_the_run_itself(
    shop, reports, bundled, tmp_path, monkeypatch, capsys
) -> None:
    with bundled.open("rb") as file:
        take_in(file, tmp_path)
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path))
    out = tmp_path / "board.html"
    assert cli.main(["board", str(out), "--filter", "", "--title", "Theirs"]) == 0
    assert "3 runs" in capsys.readouterr().out
    (found,) = DATA.findall(out.read_text())
    there = {run["id"]: run for run in unpacked(found)["runs"]}
    assert {run["source"] for run in there.values()} == {"Three tiny runs"}
    mine = board_data(reports, shop.cache, {})
    for run in mine["runs"]:
        assert there[run["id"]]["values"] == run["values"]
    assert unpacked(found)["tokens"]["runs"] == mine["tokens"]["runs"]
    assert cli.main(["board", str(out), "--filter", ""]) == 1
    assert "exists already" in capsys.readouterr().err


def test_fifty_runs_fit_in_six_megabytes_and_500_in_twelve() -> None:
    for count, limit in ((50, 6e6), (500, 12e6)):
        data = with_tokens(board_data(many_reports(count), Nothing(), {}))
        assert len(page(data).encode()) <= limit


def test_markup_in_every_text_stays_in_the_data(reports) -> None:
    evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
    label = Label(name=evil, note=evil, tags=(evil[:40],))
    data = board_data(reports, Nothing(), {report.id: label for report in reports}, title=evil)
    text = page({**data, "note": evil})
    assert "alert(1)" not in text.replace("&lt;script&gt;alert(1)", "")
    assert text.count("<script") == 3
    assert text.count("<img") == 0


def test_nothing_in_a_board_can_be_loaded_and_only_its_own_scripts_run(data) -> None:
    text = page(data)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]
    own = text.replace(board_page._plotly(), "")
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", own)
    assert not re.search(r"@import|url\(", own)


def test_the_boards_scripts_set_text_and_never_markup() -> None:
    for name in SCRIPTS:
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text), (
            name
        )


def test_every_script_stands_in_the_board_and_no_name_twice() -> None:
    assert sorted(SCRIPTS) == sorted(path.name for path in FOLDER.glob("*.js"))
    script = board_script()
    assert not re.search(r"^(?:import|export)\b", script, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", script, re.MULTILINE)
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_the_boards_colours_are_the_dashboards() -> None:
    text = (FOLDER / "palette.js").read_text(encoding="utf-8")
    methods = dict(re.findall(r'^  "([^"]+)": "(#\w{6})"', text, re.MULTILINE))
    assert methods == palette.METHOD_COLOURS
    (runs,) = re.findall(r"RUN_COLOURS = \[(.*?)\]", text)
    assert tuple(re.findall(r"#\w{6}", runs)) == palette.RUN_COLOURS
    assert f'NEUTRAL = "{palette.NEUTRAL}"' in text


def test_a_board_of_no_runs_too_many_or_strange_tokens_is_refused(reports, tmp_path) -> None:
    out = tmp_path / "board.html"
    with pytest.raises(ShareError, match="a board of 0 runs"):
        write_board(out, [], Nothing(), {})
    with pytest.raises(ShareError, match="a board of 1,002 runs"):
        write_board(out, reports[:1] * 1002, Nothing(), {})
    with pytest.raises(ShareError, match="stands twice"):
        write_board(out, reports[:1] * 2, Nothing(), {})
    with pytest.raises(ShareError, match="none of the board's runs"):
        write_board(out, reports[:1], Nothing(), {}, tokens=[reports[1].id])
    with pytest.raises(InvalidRecipe, match="the title"):
        write_board(out, reports[:1], Nothing(), {}, title="x" * 121)
    with pytest.raises(InvalidRecipe, match="the note"):
        write_board(out, reports[:1], Nothing(), {}, note="\n\n".join(["x" * 9999] * 3))
    assert not out.exists()


def test_equal_data_makes_equal_bytes(data) -> None:
    assert packed(data) == packed(json.loads(json.dumps(data)))


def test_runs_without_anything_in_the_cache_make_a_board(reports, tmp_path) -> None:
    made = write_board(tmp_path / "board.html", reports, Nothing(), {})
    assert (made.runs, made.with_tokens) == (3, 0)
