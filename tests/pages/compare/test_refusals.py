"""What cannot be compared is said with its reason, and what is missing can be queued."""

from __future__ import annotations

from dataclasses import replace

from qcore.recipe import Evaluation
from qcore.report.report import Metric
from tests.pages.compare.test_compare_page import HARD, run, texts
from tests.pages.compare.test_hurt import button, control
from tests.pages.helpers_app import spec

LABEL = "Measure it like the baseline"


def test_runs_on_other_windows_are_refused_and_the_missing_one_is_offered(bench):
    a = bench.library.add(run())
    b = bench.library.add(run(evaluation=Evaluation(length=256)))
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    assert "512 and 256 tokens" in texts(app)
    button(app, LABEL).click().run()
    assert bench.queue.submitted == [replace(b.recipe, evaluation=a.recipe.evaluation)]
    assert bench.queue.ensured == [""]


def test_runs_of_other_networks_are_refused_without_an_offer(bench):
    a = bench.library.add(run())
    b = run(model="other")
    b = bench.library.add(replace(b, environment=replace(b.environment, model_digest="cd" * 32)))
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    assert "different networks" in texts(app)
    assert LABEL not in [item.label for item in app.button]


def test_the_others_are_compared_when_one_is_refused(bench):
    a, b = bench.library.add(run()), bench.library.add(run("gptq", HARD - 0.5))
    c = bench.library.add(run(evaluation=Evaluation(length=256)))
    app = bench.open("compare", runs=f"{a.id},{c.id},{b.id}")
    assert "Better by 0.50" in texts(app)
    assert "cannot be compared" in texts(app)


def test_a_title_with_markup_stays_text_in_a_refusal(bench):
    a = run()
    a = bench.library.add(replace(a, environment=replace(a.environment, model="<b>*x*</b>")))
    b = run("gptq")
    b = bench.library.add(
        replace(
            b,
            environment=replace(b.environment, model="\u202e[l](http://x)", model_digest="cd" * 32),
        )
    )
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    said = "".join(str(item.value) for item in app.warning)
    assert "\u202e" not in said
    assert "<b>" not in said


def test_tasks_that_a_run_lacks_can_be_measured(bench):
    asked = Evaluation(tasks=("arc_easy",))
    accuracy = Metric("accuracy/arc_easy", 0.4, "", "share", 100, 0.3, 0.5)
    a = run(evaluation=asked)
    a = bench.library.add(replace(a, metrics=(*a.metrics, accuracy)))
    b = bench.library.add(run("gptq", HARD - 0.5))
    app = bench.open("compare", runs=f"{a.id},{b.id}")
    assert "B did not answer arc easy" in texts(app)
    button(app, "Measure the tasks too").click().run()
    assert bench.queue.submitted == [replace(b.recipe, evaluation=a.recipe.evaluation)]


def test_all_tasks_stand_in_one_forest(bench):
    tasks = ("arc_easy", "piqa")
    scores = [Metric(f"accuracy/{name}", 0.4, "", "share", 100, 0.3, 0.5) for name in tasks]
    runs = []
    for method in ("rtn", "gptq"):
        made = run(method, evaluation=Evaluation(tasks=tasks))
        runs.append(bench.library.add(replace(made, metrics=(*made.metrics, *scores))))
    app = bench.open("compare", runs=",".join(item.id for item in runs))
    control(app, "metric").set_value("tasks").run()
    (trace,) = spec(app)["data"]
    assert trace["y"] == ["B · ARC-easy", "B · PIQA"]
