"""How much memory a suffix run needs, told before it starts, from its log's size and its network's.

    always      what Python, torch, pandas and pyarrow take
    reading     the log's text and columns at their height (`qcore.suffix.logs.cost`); given back
    held        the log, its encoding and the indices of its prefixes
    training    a batch's attention, which is bounded, and its decoder steps; both again for the
                backward pass
    answering   the memories that the rows decoded together attend to: samples need the most

A rough sum: 0.65 GiB where a training on 65,000 events took 0.63. A finished run of the same
network has the true number, and that is taken instead (`qcore.pipeline.planning.preview`).
"""

from __future__ import annotations

from pathlib import Path

from qcore.recipe import Recipe
from qcore.suffix.batches import ATTENDED
from qcore.suffix.logs.cost import Cost, reading_cost

LIBRARIES = 360 << 20
"""Before a log is read, as measured here."""
_EVENT_BYTES = 250
_CASE_EVENTS = 10
"""Of the built-in process, about."""
_ATTENTION = 32
"""Width in which query and keys meet."""
_STEPS = 16
"""Decoder steps of a training row, about."""
_KEPT = 10
"""Arrays of the state's width that a layer keeps of a step."""
_ROWS = {"argmax": 1024, "beam": 2048, "expected": 4096}
"""Rows decoded together, by the kind of answer."""
_POSITIONS = 64
"""Events that such a row attends to, about."""


def memory_bytes(recipe: Recipe) -> int:
    """The estimate. Raises DataError where the log cannot be read."""
    part = recipe.suffix
    assert part is not None
    cost = log_cost(recipe)
    steps = part.rows * _STEPS
    training = 2 * 4 * (ATTENDED * _ATTENTION + steps * part.layers * _KEPT * part.hidden)
    answering = 4 * _ROWS[part.answer] * _POSITIONS * (_ATTENTION + part.hidden)
    working = cost.events * _EVENT_BYTES + max(training, answering)
    return LIBRARIES + max(cost.memory, working)


def log_cost(recipe: Recipe) -> Cost:
    """What reading the recipe's log takes; nothing but its events where it is simulated."""
    part = recipe.suffix
    assert part is not None
    if recipe.model.name:
        return reading_cost(Path(recipe.model.name))
    return Cost(part.cases * _CASE_EVENTS, 0, 0.0)
