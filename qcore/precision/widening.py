"""Widening one unit after another: the plain methods' one mechanism.

The unit of least rank goes one format wider; one for which that does not fit any more is left as it
is. What comes out cannot be widened anywhere. Where a large unit has left more than 0.05
bits over, exchanges come closer: a unit goes wider and another one narrower, which together spend a
little more. Nothing here ever spends more than the budget.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from qcore.precision.problem import Problem, Window

Rank = Callable[[int, int], float]
"""From a unit and its present format, as indices, to when it is widened: least first."""


def widen(
    problem: Problem,
    choice: list[int],
    window: Window,
    rank: Rank,
    *,
    once: bool = False,
    sparing: bool = False,
) -> None:
    """Widen units of `choice`, in place, by rank while anything fits.

    Args:
        problem: says what each format spends.
        choice: spends at most `window.most`.
        window: what may be spent.
        rank: asked again for a unit's next step when it has made one.
        once: each unit makes one step at most.
        sparing: stop when `window.least` is spent; by default when nothing more fits.
    """
    spent = problem.spent(choice)
    queue = [
        (rank(unit, at), unit) for unit, at in enumerate(choice) if at < problem.options[unit][-1]
    ]
    heapq.heapify(queue)
    while queue and not (sparing and spent >= window.least):
        _, unit = heapq.heappop(queue)
        at = choice[unit]
        step = problem.bits[unit][at + 1] - problem.bits[unit][at]
        if spent + step > window.most:
            continue
        choice[unit], spent = at + 1, spent + step
        if not once and at + 1 < problem.options[unit][-1]:
            heapq.heappush(queue, (rank(unit, at + 1), unit))


def exchange(problem: Problem, choice: list[int], window: Window, rank: Rank) -> int:
    """Bring what is spent up to `window.least` by exchanges, in place, if any can.

    The unit to widen is sought by rank, the one to narrow by reverse rank; the first pair that
    suffices is taken, or else the one that comes closest.

    Returns:
        How many exchanges there were.
    """
    made = 0
    while (spent := problem.spent(choice)) < window.least:
        pair = _pair(problem, choice, window.least - spent, window.most - spent, rank)
        if pair is None:
            break
        wider, narrower = pair
        choice[wider] += 1
        choice[narrower] -= 1
        made += 1
    return made


def _pair(
    problem: Problem, choice: list[int], least: int, most: int, rank: Rank
) -> tuple[int, int] | None:
    """Units whose exchange spends `least` to `most` more, or at least as much as possible."""
    units = range(len(choice))
    wider = sorted(
        (rank(unit, choice[unit]), unit)
        for unit in units
        if choice[unit] < problem.options[unit][-1]
    )
    narrower = sorted(
        (-rank(unit, choice[unit] - 1), unit)
        for unit in units
        if choice[unit] > problem.options[unit][0]
    )
    best, found = 0, None
    for _, first in wider:
        gain = problem.bits[first][choice[first] + 1] - problem.bits[first][choice[first]]
        for _, second in narrower:
            loss = problem.bits[second][choice[second]] - problem.bits[second][choice[second] - 1]
            if first != second and best < gain - loss <= most:
                best, found = gain - loss, (first, second)
                if best >= least:
                    return found
    return found
