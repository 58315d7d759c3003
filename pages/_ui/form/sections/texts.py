"""Controls of what the network reads, and of what is measured."""

from __future__ import annotations

from pages._ui.form.control import Control, Section
from qcore.recipe import TASKS, TEXTS
from qcore.recipe.titles import text_label
from qcore.report import metrics

CALIBRATION = Section(
    "Calibration",
    "what the network reads",
    (
        (
            Control(
                "calibration.text",
                "Calibration text",
                "The text whose activations are captured. GPTQ needs one; without one RTN reports "
                "no output errors. WikiText-2 comes from the Hub unless a local copy is there.",
                "texts",
                options=(*TEXTS, None),
                names={**{text: text_label(text) for text in TEXTS}, None: "none"},
            ),
        ),
        (
            Control(
                "calibration.windows",
                "Calibration windows",
                "How many, from the text's start.",
                "numbers",
            ),
            Control(
                "calibration.length",
                "Calibration length",
                "Tokens in a window, 2 to 32768.",
                "numbers",
            ),
        ),
    ),
)

EVALUATION = Section(
    "Evaluation",
    "what is measured",
    (
        (
            Control(
                "evaluation.text",
                "Perplexity text",
                "Its first windows are scored; more windows give narrower intervals.",
                "texts",
                options=TEXTS,
                names={text: text_label(text) for text in TEXTS},
            ),
        ),
        (
            Control("evaluation.windows", "Evaluation windows", "Non-overlapping.", "numbers"),
            Control(
                "evaluation.length",
                "Evaluation length",
                "Tokens in a window, 2 to 32768.",
                "numbers",
            ),
        ),
        (
            Control(
                "evaluation.divergence",
                "KL and top-1 agreement",
                "Compares with the float model token by token: far less noisy than perplexity.",
                names={True: "measure", False: "skip"},
            ),
        ),
        (
            Control(
                "evaluation.tasks",
                "Zero-shot tasks (lm-eval)",
                "Slow on a CPU; each run.",
                "tasks",
                options=TASKS,
                names={name: metrics.metric_label(f"accuracy/{name}") for name in TASKS},
            ),
        ),
        (
            Control(
                "evaluation.limit",
                "Questions per task",
                "`all` asks every question.",
                "numbers",
                none="all",
                where=lambda axes: any(axes["evaluation.tasks"]),
            ),
            Control("seed", "Seed", "Of everything that draws at random.", "numbers"),
        ),
    ),
)
