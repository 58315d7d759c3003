"""Texts that finished runs continue, and the float network beside them: the way to them.

A Report names the stages that made its network by key, so what was said is found without resolving
anything; what was not said yet is a stage to make sure of (`stage_name`, `float_recipe`).
"""

from __future__ import annotations

from dataclasses import replace

from cache.store import Cache
from qcore.errors import QuantscopeError
from qcore.evaluation.continuation import Continuation
from qcore.pipeline.stage import continuation_key, continuation_name
from qcore.recipe import Recipe
from qcore.report.report import Report
from qcore.serialization import from_plain


def stage_name(prompt: str) -> str:
    """The stage to make sure of, so that a run continues this prompt."""
    return continuation_name(prompt)


def float_recipe(report: Report) -> Recipe:
    """The float network of a run, untouched."""
    asked = report.recipe
    read = replace(asked.evaluation, tasks=())  # some text that is known to be there
    return Recipe(model=asked.model, weights=None, calibration=None, evaluation=read)


def is_float(report: Report) -> bool:
    """Whether a run's network is the untouched float network, which says what that says."""
    changed = {"quantize", "transform"} & {stage.name for stage in report.stages}
    return not changed and report.recipe.activations is None


def said_by_run(report: Report, prompt: str, cache: Cache) -> Continuation | None:
    """What a run says after a prompt; None where that was not asked yet, or evicted."""
    keys = {stage.name: stage.key for stage in report.stages}
    network = next((keys[name] for name in ("quantize", "transform", "load") if name in keys), "")
    return _said(network, report.recipe, prompt, cache)


def said_by_float(report: Report, prompt: str, cache: Cache) -> Continuation | None:
    """What its float network says; None likewise."""
    network = next((stage.key for stage in report.stages if stage.name == "load"), "")
    return _said(network, float_recipe(report), prompt, cache)


def _said(network: str, recipe: Recipe, prompt: str, cache: Cache) -> Continuation | None:
    if not network:
        return None
    kept = cache.record(continuation_key(network, recipe, prompt))
    try:
        return kept and from_plain(Continuation, kept, "continuation")
    except QuantscopeError:
        return None
