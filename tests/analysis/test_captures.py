"""Captures are found through Reports and looked at without the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cache.digest import digest
from cache.store import Cache
from qcore.analysis import captures
from qcore.analysis.captures import Lens
from qcore.errors import CorruptEntry, InvalidRecipe
from qcore.report.index import Index
from qcore.report.library import Library
from qcore.report.report import Report
from qcore.report.summary import Summary
from tests.analysis.factories import (
    KEY,
    LOUD,
    TOKENS,
    WIDTHS,
    fill,
    report_of,
    statistics_of,
    tokens_of,
)


@pytest.fixture
def cache(tmp_path) -> Cache:
    made = Cache(tmp_path / "cache")
    fill(made)
    return made


def captures_of(reports: list[Report], cache: Cache) -> list[captures.Capture]:
    return captures.captures([Summary.of(report) for report in reports], cache)


def test_runs_that_share_a_capture_show_it_once_and_runs_without_one_not_at_all(cache):
    reports = [report_of(2), report_of(1, seed=1), report_of(0, key="")]
    (found,) = captures_of(reports, cache)
    assert (found.key, found.model, found.depth, found.blocks) == (KEY, "Tiny", 2, (0, 1))


def test_a_capture_that_the_cache_lost_is_not_offered(cache):
    lost = report_of(1, key=digest("lost"))
    assert [c.key for c in captures_of([lost, report_of(0)], cache)] == [KEY]


def test_a_capture_that_is_partly_lost_says_which_blocks_are_left(tmp_path):
    cache = Cache(tmp_path / "cache")
    fill(cache, blocks=1)
    (found,) = captures_of([report_of()], cache)
    assert found.blocks == (0,)
    assert {place.block for place in captures.overview(found, cache)} == {0}


def test_the_index_lists_the_newest_captures_first(cache, tmp_path):
    library = Library(tmp_path)
    library.add(report_of(0))
    index = Index(library)
    assert len(captures.captures(index.summaries(), cache)) == 1
    fill(cache, digest("next"))
    library.add(report_of(1, key=digest("next"), seed=1))
    assert [c.key for c in captures.captures(index.summaries(), cache)] == [digest("next"), KEY]


def test_a_sites_statistics_come_back_as_they_were_captured(cache):
    (found,) = captures_of([report_of()], cache)
    site = captures.site_statistics(found, cache, 1, "mlp_hidden")
    assert torch.equal(site.sample, statistics_of(tokens_of(96, seed=13)).sample)
    assert site.tokens == TOKENS


def test_a_lost_block_and_an_unknown_site_are_refused_with_what_to_do(cache):
    (found,) = captures_of([report_of()], cache)
    with pytest.raises(CorruptEntry, match="capture again"):
        captures.site_statistics(found, cache, 7, "mlp_hidden")
    with pytest.raises(CorruptEntry, match="attention_input"):
        captures.site_statistics(found, cache, 0, "nowhere")


def test_the_overview_has_every_layer_and_site_and_is_read_from_records_the_second_time(cache):
    (found,) = captures_of([report_of()], cache)
    first = captures.overview(found, cache)
    assert [(p.block, p.site, p.width) for p in first[:4]] == [
        (0, name, width) for name, width in WIDTHS.items()
    ]
    assert len(first) == 8
    cache._artifacts.clear()
    assert captures.overview(found, cache) == first


def test_the_louder_block_stands_out_on_the_overview(cache):
    (found,) = captures_of([report_of()], cache)
    peaks = {
        (p.block, p.site): p.measures.token_peak_to_rms for p in captures.overview(found, cache)
    }
    assert max(peaks, key=lambda at: peaks[at])[0] == 1


def test_a_view_shows_the_tokens_that_the_transform_makes():
    x = tokens_of(96)
    statistics = statistics_of(x)
    seen = captures.view(statistics, Lens(16, "massdiff"))
    assert seen.permuted is not None
    assert seen.kept is not None
    rotated = captures._transform(statistics, Lens(16, "massdiff"), "massdiff").apply(
        statistics.sample
    )
    np.testing.assert_allclose(seen.permuted.rotated.peak, rotated.abs().amax(1), rtol=1e-6)
    assert (seen.order, seen.block, seen.tokens) == (96, 16, TOKENS)


def test_massdiff_parts_loud_channels_that_shared_a_block():
    seen = captures.view(statistics_of(tokens_of(96)), Lens(16, "massdiff"))
    assert seen.kept is not None
    assert seen.permuted is not None
    assert LOUD[0] // 16 == LOUD[1] // 16
    assert np.argmax(seen.kept.mass) == LOUD[0] // 16
    lighter, heavier = np.sort(seen.kept.mass)[-2:]
    assert heavier > 5 * lighter
    lighter, heavier = np.sort(seen.permuted.mass)[-2:]
    assert heavier < 1.2 * lighter
    assert np.median(seen.permuted.rotated.peak) < np.median(seen.kept.rotated.peak)


def test_permuting_changes_neither_kurtosis_nor_peak():
    seen = captures.view(statistics_of(tokens_of(96)), Lens(16, "random"))
    assert seen.permuted is not None
    np.testing.assert_allclose(seen.permuted.ordered.kurtosis, seen.before.kurtosis, rtol=1e-5)
    assert np.array_equal(seen.permuted.ordered.peak, seen.before.peak)


@pytest.mark.parametrize("lens", [Lens(), Lens("full", "massdiff"), Lens(16)])
def test_nothing_is_permuted_where_no_order_matters_or_none_was_asked(lens):
    seen = captures.view(statistics_of(tokens_of(96)), lens)
    assert seen.permuted is None
    assert (seen.kept is None) == (lens.rotation == "none")
    assert set(seen.curves) == {"all", "sample"} | ({"kept"} if seen.kept else set())


def test_the_first_curve_counts_every_token_and_the_others_the_sample():
    x = tokens_of(96)
    x[1:, 0] = 0
    x[TOKENS // 3, 1] = 1e4  # a massive activation that the sample may miss
    statistics = statistics_of(x)
    seen = captures.view(statistics, Lens())
    assert seen.curves["all"].magnitude[-1] == pytest.approx(1e4, rel=0.1)
    highest = float(statistics.sample.abs().max())
    assert seen.curves["sample"].magnitude[-1] == pytest.approx(highest, rel=0.1)


def test_an_expansion_is_offered_only_in_sizes_that_work():
    for rotation in captures.rotations(96):
        for size in captures.sizes(96, rotation):
            captures.view(statistics_of(tokens_of(96)), Lens(rotation, "massdiff", size))
    assert captures.sizes(96, "none") == [96]


def test_an_expanded_view_holds_as_many_features_as_asked():
    seen = captures.view(statistics_of(tokens_of(96)), Lens(16, "massdiff", 160))
    assert seen.order == 160
    assert seen.permuted is not None
    assert len(seen.permuted.mass) == 10


def test_a_block_that_does_not_divide_is_refused():
    with pytest.raises(InvalidRecipe, match="does not divide"):
        captures.view(statistics_of(tokens_of(96)), Lens(64))
