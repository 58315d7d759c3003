"""Where it hurts: tokens on the Compare page, from the records of finished runs."""

from __future__ import annotations

import pytest

from cache.store import Cache
from pages._ui import engine
from tests.pages.compare.factories import keep_pieces, keep_run
from tests.pages.compare.test_compare_page import texts
from tests.pages.helpers_app import specs

WORDS = [" the", " cat", "<b>bold</b>", " s\u202eat", "\n", " on", " it"]
HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def cache(bench, tmp_path, monkeypatch) -> Cache:
    made = Cache(tmp_path / "cache")
    monkeypatch.setattr(engine, "cache", lambda: made)
    keep_pieces(made, [WORDS, [*WORDS[:-1], HOSTILE], WORDS])
    return made


def open_two(bench, cache, **query):
    a, b = (keep_run(bench.library, cache, seed, 3, len(WORDS)) for seed in (0, 1))
    return bench.open("compare", runs=f"{a.id},{b.id}", **query), a, b


def shown(app) -> str:
    return "".join(item.value for item in app.get("html") if 'class="tokens"' in item.value)


def control(app, key: str):
    return next((item for item in app.button_group if item.key == key), None)


def button(app, label: str):
    return next(item for item in app.button if item.label == label)


def test_the_text_is_shown_a_window_at_a_time_and_is_text(bench, cache):
    app, *_ = open_two(bench, cache)
    assert shown(app).count("<span") == len(WORDS) - 1
    assert "<b>bold" not in shown(app)
    assert "&lt;b&gt;bold" in shown(app)
    assert "⟨202e⟩" in shown(app)
    app.number_input(key="compare.window").set_value(2).run()
    assert "<img" not in shown(app)
    assert "&lt;img" in shown(app)


def test_the_baseline_has_no_difference_to_itself_but_a_divergence(bench, cache):
    app, *_ = open_two(bench, cache)
    assert control(app, "compare.of.loss").options == ["B"]
    control(app, "hurt").set_value("kl").run()
    assert control(app, "compare.of.kl").options == ["A", "B"]


def test_statistics_stand_side_by_side(bench, cache):
    app, *_ = open_two(bench, cache)
    table = next(t.value for t in app.dataframe if "Statistic" in t.value.columns)
    assert list(table.columns) == ["Statistic", "Unit", "A", "B"]


def test_a_run_whose_tokens_were_evicted_can_be_measured_again(bench, cache):
    a = keep_run(bench.library, cache, 0, 3, len(WORDS))
    b = keep_run(bench.library, None, 1, 3, len(WORDS))
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    assert "Of B nothing is kept token by token" in texts(app)
    button(app, "Measure again").click().run()
    assert bench.queue.ensured == ["evaluate"]
    assert bench.queue.submitted == [b.recipe]


def test_tokens_that_were_measured_again_show_at_the_next_rerun(bench, cache):
    a = keep_run(bench.library, cache, 0, 3, len(WORDS))
    b = keep_run(bench.library, None, 1, 3, len(WORDS))
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    assert "Loss against A" not in control(app, "hurt").options
    keep_run(bench.library, cache, 1, 3, len(WORDS))
    app.run()
    assert "Loss against A" in control(app, "hurt").options


def test_a_run_from_before_has_statistics_from_its_records(bench, cache):
    a = keep_run(bench.library, cache, 0, 3, len(WORDS), with_statistics=False)
    b = keep_run(bench.library, cache, 1, 3, len(WORDS))
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    table = next(t.value for t in app.dataframe if "Statistic" in t.value.columns)
    assert "A" in table.columns


def test_a_table_is_copied_as_markdown_latex_and_llamacpps_block(bench, cache):
    app, *_ = open_two(bench, cache)
    app.session_state["compare-tokens.copy"] = True
    app.run()
    assert app.code[0].value.startswith("| Statistic | Unit | A | B |")
    control(app, "compare-tokens.copy.as").set_value("LaTeX").run()
    assert r"\toprule" in app.code[0].value
    control(app, "compare-tokens.copy.as").set_value("llama.cpp block of B").run()
    assert "KL divergence statistics" in app.code[0].value


def test_the_chart_of_tokens_has_a_line_for_each_run(bench, cache):
    app, *_ = open_two(bench, cache)
    control(app, "hurt").set_value("kl").run()
    lines = next(
        s
        for s in specs(app)
        if s["layout"].get("yaxis", {}).get("title", {}).get("text") == "tokens"
    )
    assert [trace["name"] for trace in lines["data"]] == ["A", "B"]
