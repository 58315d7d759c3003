"""A number and the sentence beside it say the same."""

from qcore.evaluation.confidence import proportion
from qcore.evaluation.harness import TaskScore
from qcore.evaluation.perplexity import WindowScore
from qcore.pipeline.metrics import metrics


def test_each_accuracy_of_a_task_stands_beside_its_own_definition():
    windows = [WindowScore(3.0, 7), WindowScore(3.5, 7)]
    score = TaskScore(
        task="arc_easy",
        accuracy=proportion(4, 10),
        accuracy_norm=proportion(6, 10),
        questions=10,
        available=570,
        definition="share whose right answer has the highest log-likelihood",
        right=(True,) * 4 + (False,) * 6,
        right_norm=(True,) * 6 + (False,) * 4,
    )
    found = {metric.name: metric for metric in metrics(windows, windows, 8, [score])}
    assert found["accuracy/arc_easy"].value == 0.4
    assert "per character" not in found["accuracy/arc_easy"].definition
    assert found["accuracy/arc_easy/norm"].value == 0.6
    assert "per character" in found["accuracy/arc_easy/norm"].definition
