"""The Scales page over a real run of a tiny network: empty, filled, clicked, reopened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages._ui import engine, palette, state
from pages._ui.scales import words
from pages._ui.scales.charts import objective, rounded
from qcore.analysis import captures, channels
from qcore.errors import BrokenCheckpoint
from qcore.formats.format import named
from qcore.report.index import Index
from qcore.report.library import Library
from qcore.report.summary import Summary
from tests.pages.helpers_app import specs
from tests.pages.helpers_colours import luminance
from tests.pages.outliers.test_outliers_page import Queue
from tests.pipeline.factories import Workshop, write_checkpoint, write_text

_APP = Path(__file__).resolve().parents[3] / "dashboard.py"


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Workshop:
    """A home with one finished run."""
    model = write_checkpoint(tmp_path_factory.mktemp("model"))
    text = write_text(tmp_path_factory.mktemp("text") / "prose.txt")
    made = Workshop(tmp_path_factory.mktemp("home"), model, text)
    made.run(made.recipe())
    return made


@pytest.fixture
def page(shop, monkeypatch):
    """Opens the page with an address's choices."""
    monkeypatch.setenv("QUANTSCOPE_HOME", str(shop.root))
    monkeypatch.setattr(engine, "backend", Queue)

    def open_it(**query: str) -> AppTest:
        app = AppTest.from_file(_APP, default_timeout=60)
        app.run()
        app.switch_page("pages/scales.py")
        for name, value in query.items():
            app.query_params[name] = value
        return healthy(app.run())

    return open_it


def healthy(app: AppTest) -> AppTest:
    assert not app.exception, [item.value for item in app.exception]
    assert not app.error, [item.value for item in app.error]
    return app


def box(app: AppTest, name: str):
    return app.get_by_key(f"scales.{name}")


def address(app: AppTest) -> dict[str, str]:
    given = app.query_params.items()
    return {name: value[0] if isinstance(value, list) else value for name, value in given}


def layer_of(shop: Workshop, projection: str = "down_proj", block: int = 1) -> channels.Layer:
    (capture,) = captures.captures([Summary.of(shop.run(shop.recipe()))], shop.cache)
    return channels.layer_of(capture, shop.cache, shop.root, block, projection)


def test_without_a_capture_the_page_offers_a_run_that_makes_one(tmp_path, page, monkeypatch):
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path))
    app = page()
    assert app.subheader[0].value == "No captures yet"
    assert app.get_by_key("outliers.demo").label == "Capture the demo model"


def test_the_page_opens_on_the_channel_in_which_piso_gains_most(shop, page):
    app = page()
    survey = channels.survey(layer_of(shop, "q_proj", 0), named("int4"), "unquantized")
    assert box(app, "channel").value == survey.most("mse")
    assert len(specs(app)) == 3


def test_the_address_reopens_the_page_as_it_stands(page):
    asked = {
        "layer": "2",
        "projection": "up_proj",
        "format": "mxfp4",
        "objective": "diagonal",
        "over": "absmax",
        "channel": "7",
        "span": "close",
        "method": "mse",
    }
    app = page(**asked)
    left = address(app)
    assert asked.items() <= left.items()
    charts = specs(page(**left))
    assert charts == specs(app)


def test_another_layer_shows_its_own_most_telling_channel(shop, page):
    app = page(channel="3")
    assert box(app, "channel").value == 3
    box(app, "projection").set_value("down_proj").run()
    survey = channels.survey(layer_of(shop, "down_proj", 0), named("int4"), "unquantized")
    assert box(healthy(app), "channel").value == survey.most("mse")


def test_another_format_keeps_the_channel(page):
    app = page(channel="3")
    box(app, "format").set_value("int2").run()
    assert box(healthy(app), "channel").value == 3


def test_a_click_on_the_map_carries_its_channel(page):
    spec = specs(page())[1]
    points = next(trace for trace in spec["data"] if trace["name"] == "a channel")["customdata"]
    held = points if isinstance(points, list) else range(32)
    assert state.clicked({"selection": {"points": [{"customdata": [held[5]]}]}}) == [str(held[5])]


def test_a_model_whose_files_changed_is_refused(shop):
    (capture,) = captures.captures(Index(Library(shop.root)).summaries(), shop.cache)
    changed = replace(capture, model_digest="0" * 64)
    with pytest.raises(BrokenCheckpoint, match="not those that were captured"):
        channels.layer_of(changed, shop.cache, shop.root, 0, "q_proj")


@pytest.mark.parametrize("span", words.SPANS)
@pytest.mark.parametrize("fmt", ["int2", "int8", "mxfp6_e2m3"])
def test_figures_carry_no_more_than_a_screen_shows(shop, span, fmt):
    layer = layer_of(shop)
    channel = channels.look(layer, named(fmt), "unquantized", 4)
    low, high = words.limits(channel, words.SPANS[span])
    scales = [item.landing.scale for item in channel.rounded.values()]
    assert low < channel.rounded["piso"].landing.scale < high
    assert span not in ("all", "methods") or low < min(scales) < max(scales) < high
    figure = objective(channel, low, high, "name")
    assert len(figure.to_json()) < 200_000


def test_no_point_of_the_drawn_curve_lies_below_the_star(shop):
    channel = channels.look(layer_of(shop), named("int3"), "unquantized", 9)
    low, high = words.limits(channel, words.SPANS["all"])
    figure = objective(channel, low, high, "name")
    star = channel.rounded["piso"].landing.error
    for trace in figure.data:
        if trace.name == "pieces of the error, by turns":
            drawn = np.asarray(trace.y, dtype=np.float64)
            assert np.nanmin(drawn) >= star * (1 - 1e-4)


def test_the_histogram_counts_every_weight_and_marks_the_clipped_ones(shop):
    channel = channels.look(layer_of(shop), named("int3"), "identity", 9)
    for method in channels.METHODS:
        bars = [bar for bar in rounded(channel, method).data if bar.type == "bar"]
        inside, clipped = (float(np.nansum(bar.y)) for bar in bars)
        assert inside + clipped == len(channel.weight)
        share = channel.rounded[method].clipped
        assert clipped / len(channel.weight) == pytest.approx(share, abs=1 / len(channel.weight))


@pytest.mark.parametrize("background", ["#FFFFFF", "#0F141D"])
@pytest.mark.parametrize("method", channels.METHODS)
def test_every_scale_method_stands_out_from_both_backgrounds(method, background):
    colours = (palette.SCALE_COLOURS[method], background)
    bright, dark = sorted(map(luminance, colours), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 3.5


def test_every_choice_has_a_label():
    assert set(words.METHODS) == set(channels.METHODS) == set(palette.SCALE_SYMBOLS)
    assert set(words.OBJECTIVES) == set(channels.OBJECTIVES)
    assert words.format_label("mxfp6_e3m2") == "E3M2 (MXFP6 elements, float scale)"
    assert [words.format_label(name) for name in channels.GRIDS[:7]] == [
        f"INT{bits}" for bits in range(2, 9)
    ]
