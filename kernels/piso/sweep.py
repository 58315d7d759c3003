"""The compiled loops of PiSO's sweep: how they avoid O(d) work per transition.

The idea is in `kernels.piso.operation`; `kernels.piso.compiled` prepares the arrays.

**Order.** Sort |w| once. For one level with midpoint m the transitions are |w|/m in that order, so
all transitions are a merge of as many sorted lists as there are levels. All that the merge must
know of a transition is its level: n_l entries stand at level l or above, and they are the n_l
largest. So the scales alone are sorted, with the level written over their last bits (`prepare`).

**Staircase.** Therefore (Hq)_i = Σ_l gap_l · R_i[n_l], where R_i is the prefix sum, in sorted
order, of sign(w_j) H_ij. A panel of columns of H is held at a time: one scan of d vector additions
gives their prefix sums, and each of their transitions then costs one look-up per level. Per
channel d² additions, side by side in the vector unit, and d·levels² look-ups.

**Stream.** With many levels the look-ups dominate. Then the transitions are replayed in order for
each panel, each adding δ·H_i to the panel's running sums: d²·levels additions, but no table.

**Two tracks.** A grid may have more steps on one side of zero ([−8, 7]). Steps that both sides
share form track A (all entries); the longer side's extra steps form track B (that side's entries).
If the two sides share no spacing at all, track A is the positive entries and B the negative ones.

Channels do not see each other, so the result does not depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

COLUMNS = 32
STREAM_COLUMNS = 64
"""Columns of H in a panel, for the staircase and the stream. The compiled code reads them off the
panel on purpose: loops of known short length are unrolled before they are vectorised, which then
fails."""

LEVEL_BITS = 9
"""Bits of a transition's key that hold its level; E5M2 has 123 levels, INT8 has 128."""

_OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract"}}
_LEVEL_MASK = (1 << LEVEL_BITS) - 1


@njit(**_OPTIONS)
def _member(weight, track, side, split):
    """Whether an entry stands in a track; zeros never move and stand in neither."""
    in_b = side != 0 and (weight > 0.0) == (side > 0)
    return weight != 0.0 and (in_b if track == 1 else not (split and in_b))


@njit(**_OPTIONS)
def prepare(weights, orders, middle, levels_a, side, split, entry, lengths, keys):
    """Tracks of every row, and the unsorted keys of its transitions; returns how many at most.

    Args:
        weights: [rows, width].
        orders: [rows, width], entries by falling magnitude.
        middle: [levels], the midpoint at which a level is reached.
        levels_a: the first so many levels are track A's, the others track B's.
        side: +1 or −1, the sign of track B's entries; 0 when there is no track B.
        split: track A leaves track B's entries out.
        entry: [rows, 2, width], written: the tracks' entries in falling magnitude.
        lengths: [rows, 2], written: of the tracks.
        keys: [rows, width·levels] int64, written: minus the bits of each transition's scale, the
            last ones replaced by the level, so that ascending order is falling scale; 0 beyond.
    """
    rows = weights.shape[0]
    scales = np.empty(keys.shape[1])
    bits = scales.view(np.int64)
    most = 0
    for row in range(rows):
        lengths[row, :] = 0
        for i in orders[row]:
            for t in range(2):
                if _member(weights[row, i], t, side, split):
                    entry[row, t, lengths[row, t]] = i
                    lengths[row, t] += 1
        events = 0
        for level in range(middle.shape[0]):
            t = 0 if level < levels_a else 1
            for r in range(lengths[row, t]):
                scales[events] = abs(weights[row, entry[row, t, r]]) / middle[level]
                keys[row, events] = -((bits[events] & ~_LEVEL_MASK) | level)
                events += 1
        keys[row, events:] = 0
        most = max(most, events)
    return most


@njit(**_OPTIONS)
def _replay(weight, entry, gap, levels_a, keys, staircase, owner, slot, step, scale, counts):
    """Spell out one row's sorted keys; returns the number of transitions.

    Transition e moves entry owner[e] by step[e] as s falls past scale[e]. Its slot is
    owner·levels + level; counts[slot, l] is how many entries stand at level l or above just
    before it.
    """
    levels = gap.shape[0]
    now = np.zeros(levels, np.uint16)
    bits = np.empty(1, np.int64)
    as_float = bits.view(np.float64)
    events = 0
    for key in keys:
        if key == 0:
            break
        level = -key & _LEVEL_MASK
        bits[0] = -key & ~_LEVEL_MASK
        i = entry[0 if level < levels_a else 1, now[level]]
        owner[events] = i
        slot[events] = i * levels + level
        step[events] = gap[level] if weight[i] > 0.0 else -gap[level]
        scale[events] = as_float[0]
        if staircase:
            counts[i * levels + level, :] = now
        now[level] += 1
        events += 1
    return events


@njit(**_OPTIONS)
def _staircase(
    panel, first, weight, entry, lengths, gap, levels_a, side, split, counts, prefix, product
):
    """product[slot] = (Hq)_i just before that transition, for the entries i of this panel."""
    columns = panel.shape[1]
    levels = gap.shape[0]
    for t in range(2):
        prefix[t, 0, :] = 0.0
        for r in range(lengths[t]):
            j = entry[t, r]
            sign = 1.0 if weight[j] > 0.0 else -1.0
            row, old, new = panel[j], prefix[t, r], prefix[t, r + 1]
            for c in range(columns):
                new[c] = old[c] + sign * row[c]
    a, b = prefix[0], prefix[1]
    for c in range(min(columns, weight.shape[0] - first)):
        for level in range(levels):
            if not _member(weight[first + c], 0 if level < levels_a else 1, side, split):
                continue
            slot = (first + c) * levels + level
            above = counts[slot]
            total = 0.0
            for other in range(levels_a):
                total += gap[other] * a[above[other], c]
            for other in range(levels_a, levels):
                total += gap[other] * b[above[other], c]
            product[slot] = total


@njit(**_OPTIONS)
def _stream(panel, first, owner, slot, step, events, product):
    """As `_staircase`, by replaying every transition."""
    columns = panel.shape[1]
    running = np.zeros(columns)
    for e in range(events):
        i = owner[e]
        here = i - first
        if 0 <= here < columns:
            product[slot[e]] = running[here]
        delta = step[e]
        row = panel[i]
        for c in range(columns):
            running[c] += delta * row[c]


@njit(**_OPTIONS)
def _diagonal(owner, slot, step, events, diagonal, product):
    """As `_staircase`, for a diagonal H."""
    q = np.zeros(diagonal.shape[0])
    for e in range(events):
        i = owner[e]
        product[slot[e]] = diagonal[i] * q[i]
        q[i] += step[e]


@njit(**_OPTIONS)
def _storable(s, low, high, precision, smallest, largest):
    """The two storable numbers around s that lie in [low, high]; 0 where there is none."""
    _, exponent = math.frexp(s)
    unit = math.ldexp(1.0, max(exponent - 1, smallest) - (precision - 1))
    down = math.floor(s / unit) * unit
    up = down if down == s else down + unit
    if not (low <= down <= high and down > 0.0 and down <= largest):
        down = 0.0
    if not (low <= up <= high and up <= largest):
        up = 0.0
    return down, up


@njit(**_OPTIONS)
def _best(owner, slot, step, scale, events, target, diagonal, product, margin, storage):
    """(scale, e) of the best piece; (0, 0) when none is below e = 0, that of no code at all."""
    precision, smallest, largest = int(storage[0]), int(storage[1]), storage[2]
    alpha = 0.0
    beta = 0.0
    best_scale = 0.0
    best = 0.0
    for e in range(events):
        i = owner[e]
        delta = step[e]
        alpha += delta * target[i]
        beta += delta * (2.0 * product[slot[e]] + delta * diagonal[i])
        # The parabola's own minimum −α²/β bounds what the piece can reach: most end here.
        if alpha <= 0.0 or (beta > 0.0 and alpha * alpha <= -best * beta):
            continue
        low = (scale[e + 1] if e + 1 < events else 0.0) * (1.0 + margin)
        high = scale[e] * (1.0 - margin)
        if low >= high:
            continue
        s = min(max(alpha / beta, low), high) if beta > 0.0 else high
        if s * (s * beta - 2.0 * alpha) >= best:
            continue
        down, up = _storable(s, low, high, precision, smallest, largest)
        for candidate in (down, up):
            error = candidate * (candidate * beta - 2.0 * alpha)
            if error < best:
                best, best_scale = error, candidate
    return best_scale, best


@njit(**_OPTIONS)
def sweep(
    weights, targets, panels, diagonal, entry, lengths, keys, gap, levels_a, side, split,
    staircase, margin, storage, scales, errors,
):  # fmt: skip
    """Sweep every row of `weights`; write its best scale and e.

    Args:
        weights: [rows, width].
        targets: [rows, width], Gw.
        panels: [panels, width, columns], the columns of H, the last panel padded with zeros; no
            panels at all for a diagonal H.
        diagonal: [width], of H.
        entry: as `prepare` left it, and `lengths`.
        lengths: see `entry`.
        keys: [rows, transitions], as `prepare` left them, each row sorted.
        gap: [levels], the steps' lengths.
        levels_a: as for `prepare`, and `side` and `split`.
        side: see `levels_a`.
        split: see `levels_a`.
        staircase: which of the two forms; widths to 65535 only.
        margin: relative distance to keep from transitions.
        storage: (significand bits, smallest exponent, largest value) of a stored scale.
        scales: [rows], written: 0 where no code at all is best.
        errors: [rows], written: s²β − 2sα.
    """
    rows, width = weights.shape
    levels, room = gap.shape[0], keys.shape[1]
    owner = np.empty((rows, room), np.int32)
    slot = np.empty((rows, room), np.int32)
    step = np.empty((rows, room))
    scale = np.empty((rows, room))
    product = np.empty((rows, width * levels))
    counts = np.empty((rows, width * levels if staircase else 1, levels), np.uint16)
    prefix = np.empty((2, width + 1, panels.shape[2]))
    events = np.empty(rows, np.int64)
    for row in range(rows):
        events[row] = _replay(
            weights[row], entry[row], gap, levels_a, keys[row], staircase, owner[row], slot[row],
            step[row], scale[row], counts[row],
        )  # fmt: skip
        if panels.shape[0] == 0:
            _diagonal(owner[row], slot[row], step[row], events[row], diagonal, product[row])
    for p in range(panels.shape[0]):
        first = p * panels.shape[2]
        for row in range(rows):
            if staircase:
                _staircase(
                    panels[p], first, weights[row], entry[row], lengths[row], gap, levels_a,
                    side, split, counts[row], prefix, product[row],
                )  # fmt: skip
            else:
                _stream(
                    panels[p], first, owner[row], slot[row], step[row], events[row], product[row]
                )  # fmt: skip
    for row in range(rows):
        scales[row], errors[row] = _best(
            owner[row], slot[row], step[row], scale[row], events[row], targets[row], diagonal,
            product[row], margin, storage,
        )  # fmt: skip


@njit(**_OPTIONS)
def products(panels, diagonal, owner, step):
    """(Hq)_i of the entry i that moves, just before each of one channel's transitions, in order.

    Args:
        panels: as for `sweep`, STREAM_COLUMNS wide.
        diagonal: as for `sweep`.
        owner: [transitions] int32, the entry that moves.
        step: [transitions], by how much.
    """
    events = owner.shape[0]
    found = np.empty(events)
    slot = np.arange(events).astype(np.int32)
    if panels.shape[0] == 0:
        _diagonal(owner, slot, step, events, diagonal, found)
    for p in range(panels.shape[0]):
        _stream(panels[p], p * panels.shape[2], owner, slot, step, events, found)
    return found
