"""How much memory and disk a run needs, told before it starts, from the network's sizes.

**Disk** is counted: what the stages write into the cache has sizes that follow from the recipe.
Records (losses, scores) are thousands of times smaller than arrays and are left out.

**Memory** is estimated, for a run on the CPU, as the largest of the phases on top of what stays:

    always       the network; once quantized or rotated, its linears a second time, since the float
                 weights are kept to be put back; and what Python and its libraries take
    mapped       all blocks' statistics, and their codes as they are made, from the cache's files
    capture      hidden states of all windows, one block's H (and G), a pass of activations; of all
                 windows at once where layers are quantized one after the other and that fits
    rounding     float64 copies of the widest H and the stacked weights, for each core
    evaluation   hidden states of the windows, logits of a chunk

What the formula leaves out (allocators above all) it learns: past runs of the same network tell
how far their true peak lay from their estimate, and that distance is added (`learned`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from qcore.pipeline.planning.fitting import expansion_of
from qcore.pipeline.planning.history import Past
from qcore.pipeline.planning.sizes import Facts
from qcore.recipe import Recipe

LIBRARIES = 700 << 20
"""What Python, torch and transformers take before any network is loaded, as measured here."""

_SAMPLED_TOKENS, _HISTOGRAM_BYTES = 64, (1 << 14) * 8
_TOKENS_AT_ONCE, _LOGIT_ROWS = 2048, 512
_STREAM_IN_MEMORY = _HELD = 1 << 30
_SAME_ENOUGH = 20


def memory_bytes(recipe: Recipe, facts: Facts) -> int:
    """The estimate without what is learned."""
    size, item = facts.size, 2 if recipe.model.dtype == "bfloat16" else 4
    network = facts.parameters * item
    rotated = recipe.rotation is not None
    changed = facts.linear_parameters * item * (rotated + (recipe.weights is not None))
    if recipe.rotation is not None and recipe.rotation.r1:
        changed += facts.tied_parameters * item
    widest, rows = max(size.intermediate, size.attention), 2 * size.intermediate
    capture = rounding = 0
    if recipe.calibration is not None:
        tokens = recipe.calibration.windows * recipe.calibration.length
        streams = 2 if recipe.rounding.method in ("gpfq", "qronos") else 1
        states = min(tokens * size.hidden * item, _STREAM_IN_MEMORY) * streams
        at_once = min(tokens, _TOKENS_AT_ONCE)
        held = tokens * (2 * size.hidden + size.attention + size.intermediate) * item
        if recipe.rounding.inputs != "float" and held <= _HELD:  # a block in one pass
            at_once, states = tokens, states + held * (streams - 1)
        capture = states + streams * _moments(facts) + at_once * 3 * size.intermediate * item
    if recipe.weights is not None:
        cores = os.cpu_count() or 1 if recipe.rounding.inputs == "float" else 1
        rounding = cores * (3 * widest * widest * 8 + 3 * rows * size.hidden * 8)
    scored = recipe.evaluation.windows * recipe.evaluation.length
    vocabulary = (facts.parameters - facts.linear_parameters) // size.hidden
    evaluation = scored * size.hidden * item
    evaluation += 3 * min(_LOGIT_ROWS, recipe.evaluation.length) * vocabulary * 4
    mapped = disk_bytes("quantize", recipe, facts)
    if recipe.calibration is not None and mapped and recipe.rounding.inputs == "float":
        mapped += disk_bytes("capture", recipe, facts)
    return network + changed + mapped + max(capture, rounding, evaluation) + LIBRARIES


def learned(history: Sequence[Past], model_digest: str, dtype: str, facts: Facts) -> int:
    """How far past runs of the network lay above (or below) their estimates, at most; else 0.

    Only runs count that loaded the network and quantized it: others needed less than they might.
    """
    distances = []
    for past in history:
        computed = {stage.name for stage in past.stages if not stage.cached}
        alike = past.model_digest == model_digest and past.recipe.model.dtype == dtype
        if alike and past.peak_bytes is not None and {"load", "quantize"} <= computed:
            distances.append(past.peak_bytes - memory_bytes(past.recipe, facts))
    return max(distances[:_SAME_ENOUGH], default=0)


def disk_bytes(stage: str, recipe: Recipe, facts: Facts) -> int:
    """What a stage writes into the cache when nothing of it is there."""
    size = facts.size
    if stage == "reference":
        item = 2 if recipe.model.dtype == "bfloat16" else 4
        return recipe.evaluation.windows * recipe.evaluation.length * size.hidden * item
    if stage == "capture":
        widths = (size.hidden, size.attention, size.hidden, size.intermediate)
        rest = sum(4 * w * (4 + _SAMPLED_TOKENS) + _HISTOGRAM_BYTES for w in widths)
        return size.blocks * (_moments(facts) + rest)
    if stage == "quantize" and recipe.weights is not None:
        grown = expansion_of(recipe, size, facts.parameters)
        weights = facts.linear_parameters + (0 if grown is None else grown.added)
        group = recipe.weights.value.group
        scales = weights // group if group else facts.linear_parameters // size.hidden
        zeros = 1 if recipe.weights.value.symmetric else 2
        return weights + 4 * scales * zeros
    return 0


def _moments(facts: Facts) -> int:
    """H of one block's four sites, float32."""
    size = facts.size
    widths = (size.hidden, size.attention, size.hidden, size.intermediate)
    return sum(4 * width * width for width in widths)
