"""The Outliers page: empty, filled, clicked, and reopened from its address."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from cache.store import Cache
from pages._ui import engine, state
from pages._ui.outliers import charts, tables, words
from pages._ui.outliers.view import stages
from qcore.analysis import captures
from qcore.analysis.captures import Lens
from qcore.pipeline import block_key
from qcore.recipe import Recipe
from qcore.report.library import Library
from qcore.report.summary import Summary
from qcore.transforms.permutation import METHODS
from tests.analysis.factories import KEY, fill, home_with, report_of, statistics_of, tokens_of
from tests.pages.helpers_app import spec, specs

_APP = Path(__file__).resolve().parents[3] / "dashboard.py"


class Queue:
    """A Backend that remembers what was submitted."""

    def __init__(self):
        self.submitted: list[Recipe] = []
        self.ensured: list[str] = []

    def submit(self, recipes, *, ensure="", name=""):
        self.submitted += recipes
        self.ensured += [ensure] * len(recipes)
        return []

    def jobs(self, limit=200):
        return []

    def queue(self):
        return []

    def tally(self):
        return {}

    def tick(self):
        pass


@pytest.fixture
def queue(tmp_path, monkeypatch) -> Queue:
    monkeypatch.setenv("QUANTSCOPE_HOME", str(tmp_path))
    made = Queue()
    monkeypatch.setattr(engine, "backend", lambda: made)
    return made


@pytest.fixture
def filled(tmp_path, queue) -> Path:
    home_with(tmp_path)
    return tmp_path


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(_APP, default_timeout=60)
    app.run()
    app.switch_page("pages/outliers.py")
    for name, value in query.items():
        app.query_params[name] = value
    return healthy(app.run())


def healthy(app: AppTest) -> AppTest:
    assert not app.exception, [item.value for item in app.exception]
    assert not app.error, [item.value for item in app.error]
    return app


def box(app: AppTest, name: str):
    return app.get_by_key(f"outliers.{name}")


def address(app: AppTest) -> dict[str, str]:
    return {
        name: given[0] if isinstance(given, list) else given
        for name, given in app.query_params.items()
    }


def test_without_a_capture_the_page_offers_a_run_that_makes_one(queue):
    app = opened()
    box(app, "demo").click().run()
    assert [recipe.digest for recipe in queue.submitted] == [Recipe().digest]
    assert queue.submitted[0].calibration is not None


def test_a_capture_that_was_evicted_is_offered_again_and_not_as_another_run(filled, queue):
    Cache(filled / "cache").clear()
    app = opened()
    assert "has lost the capture of Tiny" in app.warning[0].value
    app.get_by_key(f"captures.again.{KEY[:12]}").click().run()
    assert queue.submitted == [report_of().recipe]
    assert queue.ensured == ["capture"]


def test_a_capture_that_lost_a_block_is_shown_and_offered_whole(filled, queue):
    for path in (filled / "cache" / "arrays").glob(f"{block_key(KEY, 1)}*"):
        path.unlink()
    app = opened()
    assert "lost 1 layer of 2" in app.info[0].value
    assert box(app, "capture").options[0].endswith("1 layers left")
    app.get_by_key(f"captures.again.{KEY[:12]}").click().run()
    assert queue.submitted == [report_of().recipe]
    assert queue.ensured == ["capture"]


def test_an_address_with_an_evicted_capture_offers_that_one(filled, queue):
    other = "f" * 64
    Library(filled).add(report_of(1, key=other, seed=1))
    app = opened(capture=other[:12])
    assert box(app, "capture").value == KEY[:12], "another is shown"
    app.get_by_key(f"captures.again.{other[:12]}").click().run()
    assert queue.submitted == [report_of(1, key=other, seed=1).recipe]


def test_the_page_opens_on_the_place_with_the_most_outliers(filled):
    app = opened()
    cache = Cache(filled / "cache")
    (capture,) = captures.captures([Summary.of(report_of())], cache)
    places = captures.overview(capture, cache)
    loudest = max(places, key=lambda place: place.measures.token_kurtosis)
    assert (box(app, "layer").value, box(app, "site").value) == (loudest.block, loudest.site)


def test_the_address_reopens_the_page_as_it_stands(filled):
    app = opened()
    box(app, "layer").set_value(0).run()
    box(app, "site").set_value("mlp_hidden").run()
    box(app, "rotation").set_value(16).run()
    box(app, "permutation").set_value("zigzag").run()
    box(app, "size").set_value(160).run()
    left = address(healthy(app))
    assert left == {
        "capture": KEY[:12],
        "measure": "token_kurtosis",
        "layer": "0",
        "site": "mlp_hidden",
        "rotation": "16",
        "permutation": "zigzag",
        "size": "160",
    }
    again = opened(**left)
    assert address(again) == left
    assert [m.value for m in again.metric] == [m.value for m in app.metric]


def test_choices_outlive_a_visit_to_another_page(filled):
    app = opened()
    box(app, "permutation").set_value("random").run()
    app.switch_page("pages/home.py").run()
    app.switch_page("pages/outliers.py").run()
    assert box(healthy(app), "permutation").value == "random"


def test_a_choice_that_does_not_fit_the_next_site_gives_way(filled):
    app = opened(layer="0", site="mlp_hidden", rotation="32", size="160")
    assert box(app, "size").value == 160
    box(app, "site").set_value("attention_input").run()
    assert box(healthy(app), "rotation").value in captures.rotations(32)
    assert box(app, "size").value == 32


def test_an_address_with_a_lost_capture_says_so_and_shows_another(filled):
    app = opened(capture="0123456789ab", layer="many", rotation="7")
    assert "not in the cache any more" in app.warning[0].value
    assert box(app, "capture").value == KEY[:12]


def test_a_full_rotation_takes_no_permutation(filled):
    app = opened()
    box(app, "rotation").set_value("full").run()
    assert box(healthy(app), "permutation").disabled
    assert box(app, "permutation").value == "identity"


def test_without_a_rotation_there_are_numbers_and_a_picture_of_the_input_alone(filled):
    app = opened(rotation="none")
    assert [metric.label for metric in app.metric] == ["Kurtosis", "Peak / RMS", "Peak ‖x‖∞"]
    assert len(specs(app)) == 3


def test_a_click_on_the_map_carries_its_layer_and_site(filled):
    points = [each for row in spec(opened(), 0)["data"][0]["customdata"] for each in row]
    assert len(set(points)) == len(points) == 8
    event = {"selection": {"points": [{"customdata": points[5]}]}}
    assert state.clicked(event) == ["1/mlp_input"]


def test_captures_are_told_apart_by_their_text(filled):
    Library(filled).add(report_of(1, key="f" * 64, seed=1))
    fill(Cache(filled / "cache"), "f" * 64, blocks=1)
    assert [label.endswith("1 layers left") for label in box(opened(), "capture").options] == [
        True,
        False,
    ]


def test_no_figure_carries_more_than_was_binned_for_it():
    x = tokens_of(1536)
    view = captures.view(statistics_of(x), Lens(16, "massdiff"))
    figure = charts.pictures(stages(view, "MassDiff"))
    assert len(figure.data) == 3
    for trace in figure.data:
        assert trace.z.dtype == np.float32
        assert trace.z.shape[0] <= 200
        assert trace.z.shape[1] <= 64
    every = [
        figure,
        charts.distributions(view),
        charts.bounds(view),
        charts.masses(view),
    ]
    assert sum(len(item.to_json()) for item in every) < 500_000


def test_points_never_lie_above_the_line_of_the_bound():
    view = captures.view(statistics_of(tokens_of(96)), Lens(16, "massdiff"))
    for trace in charts.bounds(view).data[:2]:
        assert (np.asarray(trace.y) <= np.asarray(trace.x) * (1 + 1e-5)).all()


def test_the_block_table_has_every_block_of_both_orders_and_the_flagged_ones_first():
    view = captures.view(statistics_of(tokens_of(96)), Lens(16, "massdiff"))
    table = tables.block_table(view)
    assert table.groupby("order")["block"].apply(sorted).tolist() == [list(range(6))] * 2
    assert table["flagged"].is_monotonic_decreasing
    assert view.kept is not None
    assert table.loc[table["order"] == words.KEPT, "mass"].sum() == pytest.approx(
        float(view.kept.mass.sum()), rel=1e-6
    )


def test_the_verdict_names_the_blocks_that_became_worse():
    ones = tokens_of(32).abs() * 0 + 1  # equal magnitudes of one sign pile up when rotated
    ones[:, 16:] = tokens_of(32)[:, 16:] * 1e-3
    ones[:, 16] = 5
    view = captures.view(statistics_of(ones), Lens(16))
    assert words.verdict(view) == "With the order kept, it made 1 block of 2 worse: 0."


def test_an_expansion_says_what_it_costs():
    place = SimpleNamespace(width=1536, site="mlp_hidden")
    capture = SimpleNamespace(depth=30, parameters=134_515_008)
    label = words.size_label(1664, place, capture, 576)
    assert label == "1664 (+8.3 %; +1.6 % of all parameters)"
    assert words.size_label(1536, place, capture, 576) == "1536 (none)"


def test_every_measure_and_method_has_a_label():
    assert set(words.METHODS) == set(METHODS)
    assert set(words.MEASURES) == set(captures.Measures.__slots__)
    assert set(words.WHERE) == set(words.site_labels())
