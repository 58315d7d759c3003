"""A board in a real browser, opened from its file with the network cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qcore.explore.compare import compare
from qcore.explore.front import front
from qcore.report.labels import Label
from qcore.report.report import Report
from qcore.share.board.data import board_data
from qcore.share.board.page import page as board_page
from tests.share.helpers_board import Nothing, many_reports, with_tokens

pytestmark = pytest.mark.browser

VIEWS = ("front", "table", "compare", "layers", "outliers", "tokens", "recipes")
EVIL = "<img src=x onerror=\"document.title='evil'\"></script>&amp;<b>"
CAPTURE = {
    "label": "tiny <b>text</b>",
    "sites": ["attention_input", "mlp_hidden"],
    "blocks": [0, 1],
    "measures": {name: [[3.0, 40.0], [2.5, 90.0]] for name in ("peak_to_rms", "kurtosis")},
    "site": {
        "block": 1,
        "site": "mlp_hidden",
        "rotation": 32,
        "curves": [
            {"name": "before", "x": [0.1, 1.0], "y": [0.4, 0.01], "peak": 9.0, "peakToRms": 8.0},
            {"name": "rotated", "x": [0.1, 1.0], "y": [0.5, 0.001], "peak": 3.0, "peakToRms": 3.0},
        ],
    },
}


@pytest.fixture(scope="module")
def reports() -> list[Report]:
    """Forty runs on one text, and one on another."""
    made = many_reports(41)
    strange = made[-1]
    where = replace(strange.environment, data={"evaluation text": "another"})
    return [*made[:-1], replace(strange, environment=where)]


@pytest.fixture(scope="module")
def board(reports, tmp_path_factory) -> Path:
    data = with_tokens(
        board_data(
            reports,
            Nothing(),
            {reports[0].id: Label(name=EVIL, note=EVIL, tags=("talk",))},
            title=f"Forty runs {EVIL}",
            note=f"What to see.\n\n{EVIL}",
        )
    )
    out = tmp_path_factory.mktemp("board") / "board.html"
    out.write_text(board_page({**data, "captures": [CAPTURE]}), encoding="utf-8")
    return out


@pytest.fixture(scope="module")
def shown(chromium, board) -> Iterator:
    """The board on a page with the network cut, and lists of what it asked for and what failed."""
    context = chromium.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console", lambda told: wrong.append(told.text) if told.type in ("error", "warning") else 0
    )
    page.goto(board.as_uri())
    page.wait_for_selector("section h2")
    yield page, asked, wrong
    context.close()


@pytest.fixture
def opened(shown) -> Iterator:
    """Follows a link on the board; afterwards nothing was asked for and nothing went wrong."""
    page, asked, wrong = shown
    page.set_viewport_size({"width": 1280, "height": 900})

    def at(link: str = ""):
        page.evaluate(FOLLOW, "#")
        page.evaluate(FOLLOW, link)
        return page

    yield at
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    assert not wrong


FOLLOW = """link => new Promise((done) => {
  const before = location.hash;
  addEventListener("hashchange", () => setTimeout(done, 0), { once: true });
  location.hash = link;
  if (location.hash === before) done();
})"""
"""Resolves when the board has drawn what a link names."""


def rows(page) -> list[str]:
    return page.locator("section tbody tr").all_inner_texts()


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_drawn_and_markup_stays_text(opened, view) -> None:
    page = opened(f"#view={view}")
    assert page.locator("section").count() == 1
    assert page.locator("nav a[aria-current=page]").inner_text()
    assert page.locator("img").count() == 0
    assert page.locator("section b").count() == 0
    assert page.title().startswith("Forty runs <img")
    if view not in ("table", "recipes"):
        assert page.locator(".chart .main-svg").count() > 0


def test_the_first_view_shows_the_same_front_as_the_dashboard(opened, reports) -> None:
    page = opened("#y=kl&log=1")
    alike = reports[:-1]
    size = np.array([report.volume.bits_per_weight for report in alike])
    score = np.array([metric.value for report in alike if (metric := report.metric("kl"))])
    best = front(size, score)
    drawn = page.evaluate("document.querySelector('.chart').data[0].y")
    assert drawn == pytest.approx(score[best], rel=1e-6)
    assert f"{len(best)} of them on the front" in page.locator(".chart").get_attribute("aria-label")
    assert page.evaluate("document.querySelector('.chart').layout.yaxis.type") == "log"
    count = page.evaluate(
        "document.querySelector('.chart').data.slice(1).reduce((n, t) => n + t.x.length, 0)"
    )
    assert count == len(alike)


def test_the_table_is_searched_and_sorted_and_the_link_says_so(opened, reports) -> None:
    page = opened("#view=table")
    assert len(rows(page)) == 40
    page.get_by_label("Search").fill("int4 gptq")
    found = [r.id for at, r in enumerate(reports[:-1]) if at % 7 == 2 and at % 2]
    assert len(rows(page)) == len(found)
    page.get_by_role("button", name="KL divergence").click()
    page.get_by_role("button", name="KL divergence").click()
    page.wait_for_selector("th[aria-sort=descending]")
    address = page.url
    shown = rows(page)
    kl = [float(text.split("\t")[7].replace(",", "")) for text in shown]
    assert kl == sorted(kl, reverse=True)
    assert rows(opened("#" + address.split("#")[1])) == shown


def test_runs_chosen_in_the_table_are_compared_as_the_command_line_does(opened, reports) -> None:
    a, b, c = reports[0], reports[7], reports[14]
    page = opened(f"#view=compare&runs={a.id},{b.id},{c.id}")
    told = compare([a, b, c])
    cells = [text.split("\t") for text in rows(page)]
    for letter, run in zip("BC", told, strict=True):
        for gap in run.differences:
            label = {"loss": "Loss", "perplexity": "Perplexity", "kl": "KL"}[gap.metric]
            row = next(r for r in cells if r[0] == letter and r[1].startswith(label))
            assert number(row[4]) == pytest.approx(gap.gap.value, rel=5e-3)
            low, high = (number(end) for end in row[5].strip("[]").split(", "))
            assert gap.gap.low is not None
            assert gap.gap.high is not None
            width = gap.gap.high - gap.gap.low
            assert low == pytest.approx(gap.gap.low, abs=0.08 * width)
            assert high == pytest.approx(gap.gap.high, abs=0.08 * width)
    assert "Knobs that differ" in page.locator("section").inner_text()


def test_a_run_on_another_text_is_not_compared(opened, reports) -> None:
    page = opened(f"#view=compare&runs={reports[0].id},{reports[-1].id}")
    assert "it cannot be compared" in page.locator(".warning").inner_text()
    assert page.locator(".chart").count() == 0


@pytest.mark.parametrize(
    "link",
    [
        "#view=nowhere",
        "#runs=0000000000000000,<img src=x>",
        "#run=../../etc/passwd&y=none",
        "#%%%%=1&view=%E0%A4%A",
        "#" + "x" * 20_000,
        "#group=99&theme=neon&columns=,,,&sort=__proto__&window=-1&measure=constructor",
    ],
)
def test_a_malformed_link_shows_the_board_all_the_same(opened, link) -> None:
    page = opened(link)
    assert page.locator("section").count() == 1
    assert page.locator(".warning").count() >= 1


def test_a_control_answers_to_the_keyboard_and_keeps_its_place(opened) -> None:
    page = opened("#view=front&y=kl")
    box = page.get_by_label("Logarithmic")
    assert box.is_checked()
    box.focus()
    page.keyboard.press("Space")
    page.wait_for_function("location.hash.includes('log=0')")
    assert not page.get_by_label("Logarithmic").is_checked()
    focused = "document.activeElement.closest('label').textContent"
    assert page.evaluate(focused) == "Logarithmic"


@pytest.mark.parametrize(("width", "theme"), [(360, "dark"), (768, "light"), (1920, "dark")])
def test_no_width_scrolls_sideways(opened, width, theme) -> None:
    page = opened()
    page.set_viewport_size({"width": width, "height": 900})
    for view in VIEWS:
        opened(f"#view={view}&theme={theme}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, view


def test_a_board_prints_every_view_on_pages(opened) -> None:
    page = opened("#all=1")
    page.wait_for_function("document.querySelectorAll('.chart .main-svg').length >= 6")
    content = page.pdf(format="A4")
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= len(VIEWS)


def test_an_embedded_view_has_no_chrome(opened) -> None:
    page = opened("#view=front&embed=1")
    assert not page.locator("header").is_visible()
    assert page.locator(".chart").is_visible()


def test_the_recipe_view_says_how_to_run_it_again_and_how_to_cite(opened, reports) -> None:
    page = opened(f"#view=recipes&run={reports[3].id}")
    text = page.locator("section").inner_text()
    assert "python -m qcore run recipe.json" in text
    assert reports[3].id in text
    assert "@misc{quantscope-" in text
    assert '<iframe src="board.html#view=front&embed=1"' in text


def test_the_tokens_that_lost_most_come_first(opened) -> None:
    page = opened("#view=tokens")
    lost = [float(text.split("\t")[2].replace(",", "")) for text in rows(page)]
    assert lost == sorted(lost, reverse=True)
    assert page.locator(".text .token").count() == 511


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("+", "").replace(",", ""))
