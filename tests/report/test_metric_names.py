"""Metrics: which columns are some, in what order, which way is better."""

from __future__ import annotations

import pytest

from qcore.report.metrics import QUALITIES, is_metric, is_share, known, metric_label, quality


def test_metrics_of_text_come_in_order_and_tasks_after_them_by_name():
    columns = ["bits", "kl/low", "accuracy/piqa", "kl", "accuracy/arc_easy", "perplexity", "kl"]
    columns += ["accuracy/piqa/low", "title"]
    assert known(columns) == ["perplexity", "kl", "accuracy/arc_easy", "accuracy/piqa"]


@pytest.mark.parametrize("name", [*QUALITIES, "accuracy/piqa"])
def test_every_metric_has_a_label_a_direction_and_an_axis(name):
    assert is_metric(name)
    assert not is_metric(f"{name}/low")
    assert metric_label(name)
    axis = quality(name)
    assert axis.column == name
    assert axis.higher_is_better == (is_share(name) or name == "similarity")


def test_an_unknown_task_is_called_by_its_name():
    assert metric_label("accuracy/hard_sums") == "hard sums"
    assert quality("accuracy/hard_sums").label == "hard sums accuracy"
