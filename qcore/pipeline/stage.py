"""The stages of a run: one table, read by keys, run, preview, estimates and the Jobs page.

    load ── capture ── transform ─┬──────────── scales ──┬── quantize ──┬── evaluate (by window)
      │                           └ sensitivity ─ assign ┘              │
      └──── reference ──────────────────────────────────────────────────┴── task     (by task)

A row says when a recipe has the stage, what its outcome depends on (`reads`), and what its
outcome consists of in the cache (`parts`). What must be there before a stage can be computed is
said nowhere else: it is the stages whose keys it reads.

Changing what a stage computes means raising its version: it and all that reads it are then
computed anew. What changes for some recipes alone is read by those (`qcore.pipeline.revisions`).
Adding a stage is adding a row, and telling it in `qcore.pipeline.run`; a smaller outcome beside a
stage's own is another part of its key (`Keys.part`), listed in `beside` where the stage is not
complete without it. Another kind of network has a table of its own, which `table` picks by recipe.
"""

from __future__ import annotations

from collections.abc import Sequence

from cache.digest import digest
from qcore.errors import InvalidRecipe
from qcore.pipeline import revisions
from qcore.pipeline.planning import storage
from qcore.pipeline.row import Asked, Stage, activation_knobs, scale_knobs
from qcore.pipeline.suffix.table import SUFFIX_STAGES
from qcore.recipe import Calibration, Evaluation, Recipe
from qcore.serialization import require, to_plain

TOKENS = "tokens 1"
"""Every token's scores in one window, beside the window's own (`qcore.pipeline.stages.tokens`)."""

CONTINUED_TOKENS = 64
"""Tokens by which a prompt is continued."""

LONGEST_PROMPT = 1000
"""Characters of a prompt."""

PIECES = "pieces 1"
"""The text of one window, token by token, beside the float network's score of it."""


def table(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of a recipe's kind of network, whether this recipe has them or not."""
    return STAGES if recipe.suffix is None else SUFFIX_STAGES


def stage_names(recipe: Recipe) -> list[str]:
    """The stages that a recipe goes through, in order, as they are announced."""
    return [name for row in table(recipe) if not row.within for name in row.names(recipe)]


def stage_of(recipe: Recipe, name: str) -> tuple[Stage, str]:
    """The row of a stage's name, and its subject.

    Raises:
        InvalidRecipe: there is no such stage.
    """
    word, _, subject = name.partition(" ")
    for row in table(recipe):
        if row.name == word and bool(subject) == (row.each is not None):
            return row, subject
    raise InvalidRecipe(
        f"there is no stage {name[:40]!r}", remedy=f"choose {', '.join(stage_names(recipe))}"
    )


def permutes(recipe: Recipe) -> bool:
    """Whether channels are reordered by what the capture saw of them."""
    return recipe.permutation is not None and recipe.permutation.method != "identity"


def _always(recipe: Recipe) -> bool:
    return True


def _has_weights(recipe: Recipe) -> bool:
    return recipe.weights is not None


def _is_captured(recipe: Recipe) -> bool:
    return recipe.calibration is not None and (_has_weights(recipe) or permutes(recipe))


def _is_transformed(recipe: Recipe) -> bool:
    return recipe.rotation is not None


def _is_probed(recipe: Recipe) -> bool:
    return recipe.precision is not None and recipe.precision.needs_sensitivity


def _has_budget(recipe: Recipe) -> bool:
    return recipe.precision is not None


def _is_changed(recipe: Recipe) -> bool:
    return _has_weights(recipe) or recipe.activations is not None or _is_transformed(recipe)


def _tasks(recipe: Recipe) -> Sequence[str]:
    return recipe.evaluation.tasks


def _load(of: Asked) -> Sequence[object]:
    """The float network."""
    return [of.inputs.source.digest, of.recipe.model.dtype]


def _reference(of: Asked) -> Sequence[object]:
    """The float network on the evaluation text."""
    return [of.key("load"), of.inputs.evaluation, of.recipe.evaluation.length]


def _capture(of: Asked) -> Sequence[object]:
    """The float network's statistics on the calibration text."""
    part = of.recipe.calibration
    assert part is not None
    return [of.key("load"), of.inputs.calibration, part.windows, part.length]


def _transform(of: Asked) -> Sequence[object]:
    """The rotated, permuted, expanded float network."""
    recipe = of.recipe
    assert recipe.rotation is not None
    parts = [to_plain(recipe.rotation), to_plain(recipe.permutation), to_plain(recipe.expansion)]
    seen = of.key("capture") if permutes(recipe) else ""
    seed = recipe.seed if recipe.rotation.signs or permutes(recipe) else None
    return [of.key("load"), seen, parts, seed, *revisions.of_rotation(recipe, of.inputs.source)]


def _sensitivity(of: Asked) -> Sequence[object]:
    """What each layer's formats cost. The budget, and how it is spent, is not looked at."""
    recipe, part = of.recipe, of.recipe.precision
    assert part is not None
    assert recipe.weights is not None
    inputs, changed = None, revisions.of_weights(recipe)
    if recipe.activations is not None and part.shared:
        changed += revisions.of_inputs(recipe)
        symmetric = recipe.activations.value.symmetric
        inputs = [symmetric, recipe.activations.group, recipe.activations.scale_rounding]
    return [
        of.key("transform"),
        of.key("capture"),
        of.inputs.calibration,
        part.narrow_to_wide,
        [recipe.weights.group, recipe.weights.scale_rounding, scale_knobs(recipe)],
        inputs,
        [part.probe.windows, part.probe.length],
        *changed,
    ]


def _assign(of: Asked) -> Sequence[object]:
    """One format per layer."""
    recipe, part = of.recipe, of.recipe.precision
    assert part is not None
    asked = to_plain(part)
    looks = of.key("sensitivity") if part.needs_sensitivity else ""
    if not part.needs_sensitivity:
        del asked["probe"]
    learned = None
    if part.method == "dmx":
        learned = [of.inputs.calibration, to_plain(recipe.calibration)]
        learned.append(to_plain(recipe.activations))
        learned += revisions.of_training(recipe)
    else:
        del asked["training"]
    formats = [to_plain(recipe.weights), recipe.activations is not None]
    seed = recipe.seed if part.method in ("random", "dmx") else None
    return [of.key("transform"), formats, looks, learned, asked, seed]


def _scales(of: Asked) -> Sequence[object]:
    """Scales that are found from the float network alone, before any rounding."""
    parts = [to_plain(of.recipe.weights), scale_knobs(of.recipe), *_budget(of)]
    parts += revisions.of_weights(of.recipe)
    return [of.key("transform"), of.key("capture"), parts]


def _quantize(of: Asked) -> Sequence[object]:
    """The quantized weights. Activations matter only where they shape the layer inputs."""
    recipe = of.recipe
    rounding = to_plain(recipe.rounding)
    if recipe.rounding.method == "rtn":  # what RTN does not look at must not part two runs
        rounding = ["rtn", recipe.rounding.inputs, recipe.rounding.interleaving]
    sees_activations = recipe.rounding.inputs != "float" and recipe.activations
    changed = revisions.of_weights(recipe)
    changed += revisions.of_inputs(recipe) if sees_activations else []
    return [
        of.key("transform"),
        of.key("capture"),
        to_plain(recipe.weights),
        scale_knobs(recipe),
        rounding,
        to_plain(recipe.activations) if sees_activations else None,
        *_budget(of),
        *changed,
    ]


def _evaluate(of: Asked) -> Sequence[object]:
    """The quantized network on the evaluation text."""
    seen = [of.key("reference"), of.key("quantize"), activation_knobs(of.recipe)]
    return [*seen, of.recipe.evaluation.divergence, *revisions.of_inputs(of.recipe)]


def _task(of: Asked) -> Sequence[object]:
    """One task's scores."""
    network = [of.key("quantize"), activation_knobs(of.recipe)]
    asked = [of.subject, of.inputs.tasks[of.subject], of.recipe.evaluation.limit]
    return [*network, *asked, *revisions.of_inputs(of.recipe)]


def _continuation(of: Asked) -> Sequence[object]:
    """What the network says after a prompt; the network is what evaluation measures."""
    return _continued(of.key("quantize"), of.recipe, of.subject)


def _continued(network: str, recipe: Recipe, prompt: str) -> list[object]:
    changed = revisions.of_inputs(recipe)
    return [network, activation_knobs(recipe), prompt, CONTINUED_TOKENS, *changed]


def continuation_name(prompt: str) -> str:
    """The stage in which a network continues a prompt."""
    return f"continuation {prompt}"


def continuation_key(network: str, recipe: Recipe, prompt: str) -> str:
    """The key of that stage, given the key of the stage that made the network."""
    row, _ = stage_of(recipe, continuation_name(prompt))
    return digest([row.name, row.version, *_continued(network, recipe, prompt)])


def require_prompt(prompt: str) -> None:
    """Refuse what cannot be kept as a prompt.

    Raises:
        InvalidRecipe: it is empty, too long, or no text.
    """
    require(bool(prompt.strip()), "the prompt is empty", "write a few words")
    require(
        len(prompt) <= LONGEST_PROMPT,
        f"the prompt has {len(prompt):,} characters",
        f"shorten it to {LONGEST_PROMPT:,}",
    )
    whole = not any("\ud800" <= sign <= "\udfff" or sign == "\0" for sign in prompt)
    require(whole, "the prompt holds half of a character or a NUL", "write the characters alone")


def _budget(of: Asked) -> list[str]:
    """What a bit budget adds to a key; nothing without one, so older keys stay."""
    return [of.key("assign")] if _has_budget(of.recipe) else []


def _token_records(stage: str) -> Sequence[tuple[str, str]]:
    return (stage, TOKENS), ("reference", PIECES)


def _tokens(part: Calibration | Evaluation | None) -> int:
    return 0 if part is None else part.windows * part.length


STAGES = (
    Stage("load", 2, _always, _load),
    Stage(
        "reference",
        1,
        _always,
        _reference,
        parts="window",
        units=lambda recipe: _tokens(recipe.evaluation),
        disk=storage.reference_bytes,
        # Only a run of the float network itself is incomplete without its tokens.
        beside=lambda recipe: () if _is_changed(recipe) else _token_records("reference"),
    ),
    Stage(
        "capture",
        1,
        _is_captured,
        _capture,
        parts="block",
        otherwise="",
        units=lambda recipe: _tokens(recipe.calibration),
        disk=storage.capture_bytes,
    ),
    Stage("transform", 1, _is_transformed, _transform, otherwise="load", remade_from=("capture",)),
    Stage("sensitivity", 1, _is_probed, _sensitivity, parts="block"),
    Stage(
        "assign",
        1,
        _has_budget,
        _assign,
        otherwise="",
        # Only dMX takes time, and by its steps.
        comparable=lambda recipe: recipe.precision and recipe.precision.method,
    ),
    Stage("scales", 1, _has_weights, _scales, parts="block", within="quantize"),
    Stage(
        "quantize",
        2,
        _has_weights,
        _quantize,
        parts="block",
        otherwise="transform",
        remade_from=("transform", "assign"),
        comparable=lambda recipe: [recipe.rounding.method, recipe.rounding.inputs],
        disk=storage.quantize_bytes,
    ),
    Stage(
        "evaluate",
        1,
        _is_changed,
        _evaluate,
        parts="window",
        units=lambda recipe: _tokens(recipe.evaluation),
        comparable=lambda recipe: recipe.activations is None,
        disk=storage.token_bytes,
        beside=lambda recipe: _token_records("evaluate"),
    ),
    Stage(
        "task",
        1,
        lambda recipe: bool(_tasks(recipe)),
        _task,
        each=_tasks,
        units=lambda recipe: recipe.evaluation.limit or 0,
    ),
    Stage("continuation", 1, _always, _continuation, each=lambda recipe: (), aside=True),
)
"""The stages of a language model that is quantized, in the order in which they run."""
