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

from qcore.pipeline.planning.history import Past
from qcore.pipeline.planning.sizes import Sizes
from qcore.pipeline.planning.storage import moment_bytes
from qcore.pipeline.stage import stage_of
from qcore.recipe import Recipe

LIBRARIES = 700 << 20
"""What Python, torch and transformers take before any network is loaded, as measured here."""

_TOKENS_AT_ONCE, _LOGIT_ROWS = 2048, 512
_STREAM_IN_MEMORY = _HELD = 1 << 30
_SAME_ENOUGH = 20


def memory_bytes(recipe: Recipe, sizes: Sizes) -> int:
    """The estimate without what is learned."""
    size, item = sizes.size, 2 if recipe.model.dtype == "bfloat16" else 4
    network = sizes.parameters * item
    rotated = recipe.rotation is not None
    changed = sizes.linear_parameters * item * (rotated + (recipe.weights is not None))
    if recipe.rotation is not None and recipe.rotation.r1:
        changed += sizes.tied_parameters * item
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
        capture = states + streams * moment_bytes(sizes) + at_once * 3 * size.intermediate * item
    if recipe.weights is not None:
        cores = os.cpu_count() or 1 if recipe.rounding.inputs == "float" else 1
        rounding = cores * (3 * widest * widest * 8 + 3 * rows * size.hidden * 8)
    scored = recipe.evaluation.windows * recipe.evaluation.length
    vocabulary = (sizes.parameters - sizes.linear_parameters) // size.hidden
    evaluation = scored * size.hidden * item
    evaluation += 3 * min(_LOGIT_ROWS, recipe.evaluation.length) * vocabulary * 4
    mapped = disk_bytes("quantize", recipe, sizes)
    if recipe.calibration is not None and mapped and recipe.rounding.inputs == "float":
        mapped += disk_bytes("capture", recipe, sizes)
    return network + changed + mapped + max(capture, rounding, evaluation) + LIBRARIES


def learned(history: Sequence[Past], model_digest: str, dtype: str, sizes: Sizes) -> int:
    """How far past runs of the network lay above (or below) their estimates, at most; else 0.

    Only runs count that loaded the network and quantized it: others needed less than they might.
    """
    distances = []
    for past in history:
        computed = {stage.name for stage in past.stages if not stage.cached}
        alike = past.model_digest == model_digest and past.recipe.model.dtype == dtype
        if alike and past.peak_bytes is not None and {"load", "quantize"} <= computed:
            distances.append(past.peak_bytes - memory_bytes(past.recipe, sizes))
    return max(distances[:_SAME_ENOUGH], default=0)


def disk_bytes(stage: str, recipe: Recipe, sizes: Sizes) -> int:
    """What a stage writes into the cache when nothing of it is there."""
    row, _ = stage_of(recipe, stage)
    return row.disk(recipe, sizes) if row.applies(recipe) else 0
