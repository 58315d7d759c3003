"""The Suffixes page: alive at once, over a trained network, with logs that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from cache.store import Cache
from pages._ui import engine
from pages._ui.suffix import charts, tables
from pages._ui.suffix import engine as room
from qcore.errors import DataError
from qcore.jobs.protocol import JobState
from qcore.pipeline import run
from qcore.recipe import ModelRef, Recipe, SuffixPart, Weights
from qcore.report.report import Report
from qcore.report.suffix import EpochReport
from qcore.suffix.facts import facts_of
from qcore.suffix.process import simulate
from tests.pages.conftest import Queue

_APP = Path(__file__).resolve().parents[3] / "dashboard.py"
CHOSEN = {"hidden": "16", "epochs": "5", "cases": "200"}


def plain() -> Recipe:
    part = SuffixPart(hidden=16, epochs=5, cases=200)
    return Recipe(model=ModelRef(source="suffix"), suffix=part, weights=None)


def rounded() -> Recipe:
    return Recipe.from_dict(
        plain().to_dict()
        | {
            "weights": {"format": "int2"},
            "rounding": {"method": "rtn"},
            "scales": {"method": "absmax"},
        }
    )


def budgeted() -> Recipe:
    part = {"method": "knapsack", "budget": 4.0, "formats": ["int2", "int4", "int8"]}
    return Recipe.from_dict(rounded().to_dict() | {"precision": part | {"shared": False}})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Report]]:
    """A home with a trained network and one quantized run of it."""
    root = tmp_path_factory.mktemp("home")
    cache = Cache(root / "cache")
    reports = [
        run(recipe, cache=cache, emit=lambda event: None, root=root)
        for recipe in (plain(), rounded(), budgeted())
    ]
    cache.close()
    return root, reports


Open = Callable[..., tuple[AppTest, Queue]]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the page over a home, with an address's choices."""
    queue = Queue()
    monkeypatch.setattr(engine, "backend", lambda: queue)

    def open_it(root: Path, **query: str) -> tuple[AppTest, Queue]:
        monkeypatch.setenv("QUANTSCOPE_HOME", str(root))
        app = AppTest.from_file(_APP, default_timeout=60)
        app.run()
        app.switch_page("pages/suffix.py")
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, [item.value for item in app.exception]
        return app, queue

    return open_it


def headers(app: AppTest) -> list[str]:
    return [item.value for item in app.header]


def test_the_built_in_process_is_there_before_anything_is_trained(page: Open, tmp_path: Path):
    app, queue = page(tmp_path, **CHOSEN)
    assert headers(app) == ["The process", "Training"]
    told = {item.label: item.value for item in app.metric}
    assert told["Cases"] == "200"
    assert told["Best possible similarity"] == "0.788"
    next(item for item in app.button if item.label == "Train this network").click().run()
    assert queue.submitted == [plain()]
    assert "Stop" in [item.label for item in app.button]


def test_a_failed_training_says_why_and_can_be_started_again(page: Open, tmp_path: Path):
    app, queue = page(tmp_path, **CHOSEN)
    queue.add(plain(), JobState.FAILED, message="the loss of epoch 3 is nan")
    app.run()
    assert "the loss of epoch 3 is nan" in app.error[0].value
    assert "Train this network" in [item.label for item in app.button]


def test_a_trained_network_is_scored_asked_and_quantized(
    page: Open, trained: tuple[Path, list[Report]]
):
    app, queue = page(trained[0], **CHOSEN)
    assert headers(app)[-1] == "Quantized"
    spoken = " ".join(item.value for item in app.markdown)
    assert "Likeliest step by step" in spoken
    assert "What truly followed" in spoken
    assert [item.value for item in app.error] == []
    next(item for item in app.button if item.label.startswith("Quantize")).click().run()
    # Four formats, two roundings, two scales; one of them has run already.
    assert len(queue.submitted) == 15
    assert rounded() not in queue.submitted
    assert not app.exception


def test_a_rounded_network_answers_too(page: Open, trained: tuple[Path, list[Report]]):
    app, _ = page(trained[0], **CHOSEN)
    app.selectbox(key="suffix.answers").select(trained[1][1].id).run()
    assert not app.exception
    assert app.selectbox(key="suffix.answers").value == trained[1][1].id


def test_a_run_is_cloned_into_the_page(page: Open, trained: tuple[Path, list[Report]]):
    app, _ = page(trained[0], clone=trained[1][0].id)
    assert app.selectbox(key="suffix.hidden").value == 16
    assert headers(app)[-1] == "Quantized"


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("case,activity,time\n", "a header and no rows"),
        ("case,activity\n1,a\n", "named like the time"),
        ("case,activity,time\n1,a,soon\n", "cannot be read as times"),
        ("case,activity,time\n1,a,2024-01-01\n1,b,2024-01-02\n", "has 1 case"),
        (",".join(["case", "activity", "time", *(f"c{i}" for i in range(1000))]), "1003 columns"),
    ],
)
def test_a_log_that_is_none_is_refused_in_a_sentence(
    page: Open, tmp_path: Path, content: str, fact: str
):
    path = tmp_path / "odd.csv"
    path.write_text(content)
    app, _ = page(tmp_path / "home")
    app.text_input(key="suffix.path").input(str(path)).run()
    assert not app.exception
    told = " ".join(item.value for item in [*app.error, *app.warning])
    assert fact in told.replace("\u2060", "").replace("\\", "")


def test_an_entity_bomb_is_refused_before_it_expands(page: Open, tmp_path: Path):
    path = tmp_path / "bomb.xes"
    path.write_text('<!DOCTYPE log [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><log>&b;</log>')
    app, _ = page(tmp_path / "home")
    app.text_input(key="suffix.path").input(str(path)).run()
    assert "declares the entity" in app.error[0].value


def test_a_path_in_an_address_is_not_followed(page: Open, tmp_path: Path):
    path = tmp_path / "secret.csv"
    path.write_text("case,activity,time\n1,a,2024-01-01\n")
    app, _ = page(tmp_path / "home", log=str(path))
    assert app.selectbox(key="suffix.log").value == "built-in"


@pytest.mark.parametrize("name", ["x" * 300, "~nosuchuser/x", "a\0b", "/dev/zero", "gone"])
def test_a_name_that_can_be_no_log_is_refused(name: str):
    with pytest.raises(DataError):
        room.require_file(f"{name}.csv")


def test_uploads_are_kept_under_a_name_that_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path))
    path = room.keep_upload("../../up & away.csv", b"case,activity,time\n")
    assert path.parent.parent == tmp_path / "logs"
    assert path.name == "up_away.csv"
    assert room.kept_logs() == [path]
    for name, content in (("log.exe", b"x"), ("log.csv", b"")):
        with pytest.raises(DataError):
            room.keep_upload(name, content)


@pytest.mark.parametrize("kind", ["csv", "xes"])
def test_a_large_log_says_what_reading_takes_before_it_is_read(
    page: Open, tmp_path: Path, kind: str
):
    path = tmp_path / f"large.{kind}"
    row = "{0},a,2024-01-01\n{0},b,2024-01-02\n{0},c,2024-01-03\n"
    if kind == "csv":
        path.write_text("case,activity,time\n" + "".join(row.format(i) for i in range(80_000)))
    else:
        path.write_text("<log><trace>" + "<event></event>" * 240_000 + "</trace></log>")
    app, _ = page(tmp_path / "home")
    app.text_input(key="suffix.path").input(str(path)).run()
    assert "reading takes some" in app.warning[0].value
    assert headers(app) == []
    assert "Read it all the same" in [item.label for item in app.button]


def test_the_graph_draws_the_share_that_is_asked_for():
    facts = facts_of(simulate(200))
    few, all_of_them = (tables.kept_pairs(facts, share) for share in (0.5, 1.0))
    assert len(few) < len(all_of_them) == len(facts.follows)
    figure = charts.graph(facts, all_of_them)
    assert len(tuple(figure.select_traces())) == len(all_of_them) + 2


def test_the_epoch_that_is_kept_is_ringed():
    epochs = [EpochReport(1, 2.0, 1.5, True), EpochReport(2, 1.8, 1.4, True)]
    epochs.append(EpochReport(3, 1.7, 1.6, False))
    ring = charts.losses(epochs).to_dict()["data"][-1]
    assert (list(ring["x"]), list(ring["y"])) == ([2], [1.4])


def test_beams_are_ordered_by_alpha(trained: tuple[Path, list[Report]]):
    from qcore.suffix.beam import Hypothesis

    class Told:
        beam = (Hypothesis((0,), -1.0), Hypothesis((0, 1, 1), -1.2))

    plain_order = tables.beam(Told(), ["a", "b"], 0.0)  # type: ignore[arg-type]
    normalised = tables.beam(Told(), ["a", "b"], 1.0)  # type: ignore[arg-type]
    assert list(plain_order["Suffix"]) == ["a", "a → b → b"]
    assert list(normalised["Suffix"]) == ["a → b → b", "a"]


def test_formats_of_the_knobs_exist():
    from pages._ui.suffix.controls import INPUTS, WEIGHTS

    for name in WEIGHTS:
        assert Weights(name).value.name == name
    assert set(INPUTS) - {"float"}


@pytest.mark.parametrize(
    "name", ["home", "pareto", "compare", "bits", "outliers", "scales", "jobs"]
)
def test_other_pages_open_beside_suffix_runs(
    trained: tuple[Path, list[Report]], monkeypatch: pytest.MonkeyPatch, name: str
):
    queue = Queue()
    queue.add(plain(), JobState.FINISHED, report=trained[1][0].id)
    monkeypatch.setattr(engine, "backend", lambda: queue)
    monkeypatch.setenv("QUANTSCOPE_HOME", str(trained[0]))
    app = AppTest.from_file(_APP, default_timeout=60)
    app.run()
    app.switch_page(f"pages/{name}.py")
    app.query_params["runs"] = ",".join(report.id for report in trained[1])
    app.run()
    assert not app.exception, [item.value for item in app.exception]
    assert [item.value for item in app.error] == []


def test_the_form_of_language_models_sends_a_suffix_run_to_its_own_page(
    trained: tuple[Path, list[Report]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("QUANTSCOPE_HOME", str(trained[0]))
    app = AppTest.from_file(_APP, default_timeout=60)
    app.run()
    app.switch_page("pages/new_run.py")
    app.query_params["clone"] = trained[1][0].id
    app.run()
    assert not app.exception
    assert "the page Suffixes" in app.error[0].value
