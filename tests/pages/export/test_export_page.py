"""The Export page over a real run of a tiny network: refused, forecast, started, judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages._ui import engine
from pages._ui.export import engine as exports
from pages._ui.export import view
from qcore.errors import ExportError
from qcore.export.records import Export, Exports
from qcore.export.verdict import Verdict
from qcore.progress import Event
from tests.pages.conftest import Queue
from tests.pages.helpers_app import button, texts
from tests.pipeline.factories import Workshop, write_checkpoint, write_text

_APP = Path(__file__).resolve().parents[3] / "dashboard.py"


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Workshop:
    """A home with a run that goes everywhere, one that goes nowhere, and one of float weights."""
    model = write_checkpoint(tmp_path_factory.mktemp("model"))
    text = write_text(tmp_path_factory.mktemp("text") / "prose.txt")
    return Workshop(tmp_path_factory.mktemp("home"), model, text)


@pytest.fixture(scope="module")
def plain(shop) -> str:
    return shop.run(shop.recipe()).id


@pytest.fixture(scope="module")
def rotated(shop) -> str:
    return shop.run(shop.recipe(rotation={"block": 16})).id


@pytest.fixture
def page(shop, plain, monkeypatch):
    """Opens the page with an address's choices; nothing is started, it is remembered."""
    monkeypatch.setenv("QUANTSCOPE_HOME", str(shop.root))
    queue = Queue()
    monkeypatch.setattr(engine, "backend", lambda: queue)

    def open_it(**query: str) -> AppTest:
        app = AppTest.from_file(_APP, default_timeout=60)
        app.run()
        app.switch_page("pages/export.py")
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, [item.value for item in app.exception]
        return app

    return open_it


@pytest.fixture
def started(monkeypatch) -> list[tuple[str, ...]]:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(exports, "start", lambda *what: asked.append(what))
    return asked


def test_before_the_export_it_says_what_is_written_and_who_could_load_it(page, plain):
    said = texts(page(run=plain))
    assert "loads by its rules, not verified here" in said
    assert "pack-quantized" in said
    assert "llama.cpp" not in said
    assert "Q4\\_0 at 4.5 bits per weight" in texts(page(run=plain, to="gguf"))


def test_the_button_starts_a_process_for_this_run_and_layout(page, plain, started):
    app = page(run=plain, to="gguf")
    button(app, "Export").click().run()
    assert started == [(plain, "gguf", f"{plain[:8]}-gguf")]


def test_a_run_that_nobody_could_serve_is_refused_and_says_why(page, rotated):
    app = page(run=rotated)
    assert "rotated at run time" in app.error[0].value
    assert "Export" not in [each.label for each in app.button]


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "x" * 101])
def test_names_that_lead_elsewhere_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path))
    with pytest.raises(ExportError, match="no name for a folder"):
        exports.place_of(name)


def test_a_moving_export_shows_its_progress(page, plain, shop):
    with Exports(shop.root).recording(plain, "gguf", shop.root / "x") as record:
        record.heard(Event("export", 3, 9, "3 of 9 tensors", kind="stage"))
        app = page(run=plain)
        assert "3 of 9 tensors" in str(app.get("progress")[0].proto)


def test_verdicts_stand_on_the_page_with_the_commands_and_in_the_report(page, plain, shop):
    said = Verdict("llama.cpp", "smoke-tested", "5.7e-3 nats per token from ours")
    with Exports(shop.root).recording(plain, "gguf", shop.root / "served") as record:
        record.done([said], 2_000_000, 1_000_000)
    app = page(run=plain)
    assert "5.7e-3 nats per token" in texts(app)
    assert f"llama-server --model '{shop.root}/served/model.gguf'" in [c.value for c in app.code]
    app.switch_page("pages/pareto.py")
    app.query_params["runs"] = plain
    app.run()
    assert "5.7e-3 nats per token" in texts(app)


def test_the_commands_say_the_one_way_in_which_transformers_loads_it():
    why = "loads with CompressedTensorsConfig(dequantize=True) only"
    one = Export("0" * 16, "compressed-tensors", "/x", verdicts=(Verdict("t", "exact", why),))
    (_, _, text), (_, _, vllm) = view.commands(one)
    assert "quantization_config=CompressedTensorsConfig(dequantize=True)" in text
    assert vllm == "vllm serve '/x'"


def test_the_size_that_is_foretold_is_near_the_one_that_is_written(shop, plain):
    report = engine_report(shop, plain)
    assert view.size_of(report, "compressed-tensors") > report.volume.total_bytes
    assert view.size_of(report, "gguf") > report.volume.float_bytes


def engine_report(shop: Workshop, run: str):
    from qcore.report.library import Library

    return Library(shop.root).get(run)
