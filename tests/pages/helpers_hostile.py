"""A name that tries everything that Markdown, Streamlit and Plotly would render."""

from __future__ import annotations

from dataclasses import replace

from qcore.recipe import Recipe
from qcore.report.report import Environment, Metric, Report
from tests.report.factories import report_of

NAME = (
    "![x](http://evil.invalid/x.png) <b>bold</b> <img src=http://evil.invalid/y.png> $x^2$ "
    ":material/home: :red[r] :smile: [a](javascript:1) www.evil.invalid a@evil.invalid ->"
)


def hostile_report(recipe: Recipe, **changes) -> Report:
    """A Report in which every text that a stranger could have written is that name."""
    made = report_of(recipe, **changes)
    task = Metric(f"accuracy/{NAME}", 0.4, NAME, NAME, 100, 0.3, 0.5)
    layers = tuple(replace(each, name=f"0.{NAME}", projection=NAME) for each in made.layers)
    return replace(
        made,
        environment=Environment(NAME, NAME, "ab" * 32, "llama", {NAME: "ab"}, {NAME: "1"}),
        metrics=(*made.metrics, task),
        layers=layers,
        notes=(NAME,),
    )
