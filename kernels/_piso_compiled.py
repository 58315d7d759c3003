"""PiSO's sweep, compiled for the CPU, in double precision.

The idea is in `kernels.piso`; here is how the sweep avoids O(d) work per transition.

**Order.** Sort |w| once. For one level with midpoint m the transitions are |w|/m in that same order,
so all transitions are a merge of as many sorted lists as there are levels. The merge's cursors are
the state of the sweep: n_l entries stand at level l or above, and they are the n_l largest.

**Staircase.** Therefore (Hq)_i = Σ_l gap_l · R_i[n_l], where R_i is the prefix sum, in sorted order,
of sign(w_j) H_ij. Eight columns of H are held at a time: one scan of d vector additions gives
their prefix sums, and each of their transitions then costs one look-up per level. Per channel
d²/8 vector additions and d·levels² look-ups.

**Stream.** With many levels the look-ups dominate. Then 32 columns are held and the transitions
are replayed in order, each adding δ·H_i to the 32 running sums: d²·levels/8 vector operations, but
no table.

**Two tracks.** A grid may have more steps on one side of zero ([−8, 7]). Steps that both sides
share form track A (all entries); the longer side's extra steps form track B (that side's entries).
If the two sides share no spacing at all, track A is the positive entries and B the negative ones.

Each array of a channel lies in its own row of a scratch matrix, and channels do not see each other:
the result does not depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

STAIRCASE_COLUMNS = 8
STREAM_COLUMNS = 32

_OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract"}}


@njit(**_OPTIONS)
def _tracks(weight, order, side, split, magnitude, rank, entry):
    """Fill the two tracks of one channel; returns their lengths.

    `magnitude[t]` and `entry[t]` list track t in falling magnitude; `rank[t, i]` is where entry i
    stands in it, or −1. Entries that are zero never move and stand in neither.
    """
    rank[:, :] = -1
    length_a = 0
    length_b = 0
    for i in order:
        w = weight[i]
        if w == 0.0:
            break
        in_b = (w > 0.0) == (side > 0)
        if not (split and in_b):
            magnitude[0, length_a] = abs(w)
            entry[0, length_a] = i
            rank[0, i] = length_a
            length_a += 1
        if in_b:
            magnitude[1, length_b] = abs(w)
            entry[1, length_b] = i
            rank[1, i] = length_b
            length_b += 1
    return length_a, length_b


@njit(**_OPTIONS)
def _merge(magnitude, entry, lengths, track, middle, tree, key, count, where, owner, level, scale):
    """Transitions in falling scale: owner[e], level[e], scale[e]; returns their number.

    `where[l, r]` is the transition at which the r-th entry of level l's track climbs to it. A
    tournament over the lists' heads: a leaf's key is its next transition, 0 when none is left.
    """
    levels = middle.shape[0]
    leaves = tree.shape[0] // 2
    for leaf in range(leaves):
        tree[leaves + leaf] = leaf
        key[leaf] = 0.0
        if leaf < levels:
            count[leaf] = 0
            if lengths[track[leaf]] > 0:
                key[leaf] = magnitude[track[leaf], 0] / middle[leaf]
    for node in range(leaves - 1, 0, -1):
        left, right = tree[2 * node], tree[2 * node + 1]
        tree[node] = left if key[left] >= key[right] else right
    events = 0
    while True:
        best = tree[1]
        if key[best] <= 0.0:
            return events
        t = track[best]
        r = count[best]
        owner[events] = entry[t, r]
        level[events] = best
        scale[events] = key[best]
        where[best, r] = events
        events += 1
        r += 1
        count[best] = r
        key[best] = magnitude[t, r] / middle[best] if r < lengths[t] else 0.0
        node = (leaves + best) >> 1
        while node > 0:
            left, right = tree[2 * node], tree[2 * node + 1]
            tree[node] = left if key[left] >= key[right] else right
            node >>= 1


@njit(**_OPTIONS)
def _counts(level, events, levels, counts):
    """counts[e, l]: entries at level l or above just before transition e."""
    for at in range(levels):
        counts[0, at] = 0
    for e in range(1, events):
        for at in range(levels):
            counts[e, at] = counts[e - 1, at]
        counts[e, level[e - 1]] += 1


@njit(**_OPTIONS)
def _staircase(
    panel, first, weight, entry, lengths, rank, track, gap, where, counts, prefix, product
):
    """product[e] = (Hq)_i just before transition e, for the entries i of this panel."""
    columns = panel.shape[1]
    tracks = 2 if lengths[1] > 0 else 1
    levels = track.shape[0]
    for t in range(tracks):
        for c in range(columns):
            prefix[t, 0, c] = 0.0
        for r in range(lengths[t]):
            j = entry[t, r]
            sign = 1.0 if weight[j] > 0.0 else -1.0
            for c in range(columns):
                prefix[t, r + 1, c] = prefix[t, r, c] + sign * panel[j, c]
    width = weight.shape[0]
    for c in range(min(columns, width - first)):
        i = first + c
        for at in range(levels):
            r = rank[track[at], i]
            if r < 0:
                continue
            e = where[at, r]
            total = 0.0
            for other in range(levels):
                total += gap[other] * prefix[track[other], counts[e, other], c]
            product[e] = total


@njit(**_OPTIONS)
def _stream(panel, first, owner, step, events, product):
    """As `_staircase`, by replaying every transition."""
    columns = panel.shape[1]
    running = np.zeros(columns)
    for e in range(events):
        i = owner[e]
        here = i - first
        if 0 <= here < columns:
            product[e] = running[here]
        delta = step[e]
        for c in range(columns):
            running[c] += delta * panel[i, c]


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
def _best(owner, step, scale, events, target, diagonal, product, margin, storage):
    """(scale, e) of the best piece; (0, 0) when none is below e = 0, the error of no code at all."""
    precision, smallest, largest = int(storage[0]), int(storage[1]), storage[2]
    alpha = 0.0
    beta = 0.0
    best_scale = 0.0
    best = 0.0
    for e in range(events):
        i = owner[e]
        delta = step[e]
        alpha += delta * target[i]
        beta += delta * (2.0 * product[e] + delta * diagonal[i])
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
def sweep_dense(
    weights, orders, targets, panels, diagonal, track, middle, gap, side, split, staircase,
    margin, storage, scales, errors,
):  # fmt: skip
    """Sweep every row of `weights`; write its best scale and e.

    Args:
        weights: [rows, width]; so are `orders` (falling |w|) and `targets` (Gw).
        panels: [panels, width, columns], the columns of H, zero-padded at the end.
        diagonal: [width], of H.
        track: [levels], the track of each level; `middle` and `gap` are its midpoint and step.
        side: +1 or −1, the sign of track B's entries; 0 when there is no track B.
        split: track A excludes track B's entries.
        staircase: which of the two forms.
        margin: relative distance to keep from transitions.
        storage: (significand bits, smallest exponent, largest value) of a stored scale.
        scales: [rows], written: 0 where no code at all is best.
        errors: [rows], written: s²β − 2sα.
    """
    rows, width = weights.shape
    levels = middle.shape[0]
    room = width * levels
    columns = panels.shape[2]
    leaves = 1
    while leaves < max(levels, 2):
        leaves *= 2
    tree = np.empty(2 * leaves, np.int64)
    key = np.empty(leaves)
    count = np.empty(leaves, np.int64)
    magnitude = np.empty((2, width))
    entry = np.empty((rows, 2, width), np.int32)
    rank = np.empty((rows, 2, width), np.int32)
    lengths = np.zeros((rows, 2), np.int64)
    where = np.empty((rows, levels, width), np.int32)
    owner = np.empty((rows, room), np.int32)
    level = np.empty(room, np.int32)
    step = np.empty((rows, room))
    scale = np.empty((rows, room))
    product = np.empty((rows, room))
    counts = np.empty((rows, room if staircase else 1, levels), np.int32)
    prefix = np.empty((2, width + 1, columns))
    events = np.zeros(rows, np.int64)
    for row in range(rows):
        found = _tracks(weights[row], orders[row], side, split, magnitude, rank[row], entry[row])
        lengths[row, 0], lengths[row, 1] = found
        if side == 0:
            lengths[row, 1] = 0
        events[row] = _merge(
            magnitude, entry[row], lengths[row], track, middle, tree, key, count,
            where[row], owner[row], level, scale[row],
        )  # fmt: skip
        for e in range(events[row]):
            delta = gap[level[e]]
            step[row, e] = delta if weights[row, owner[row, e]] > 0.0 else -delta
        if staircase and events[row] > 0:
            _counts(level, events[row], levels, counts[row])
    for p in range(panels.shape[0]):
        for row in range(rows):
            if staircase:
                _staircase(
                    panels[p], p * columns, weights[row], entry[row], lengths[row], rank[row],
                    track, gap, where[row], counts[row], prefix, product[row],
                )  # fmt: skip
            else:
                _stream(
                    panels[p], p * columns, owner[row], step[row], events[row], product[row]
                )  # fmt: skip
    for row in range(rows):
        scales[row], errors[row] = _best(
            owner[row], step[row], scale[row], events[row], targets[row], diagonal,
            product[row], margin, storage,
        )  # fmt: skip
