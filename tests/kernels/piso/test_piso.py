"""PiSO's sweep against brute force over every piece, and its forms against each other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.elements.values import E2M1, E2M3, E3M2, element_values
from kernels.piso.operation import search
from kernels.piso.values import nearest, score, sides

GRIDS = {
    **{f"int{b}": torch.arange(-(2 ** (b - 1)), 2 ** (b - 1)) for b in range(2, 9)},
    **{f"narrow{b}": torch.arange(1 - 2 ** (b - 1), 2 ** (b - 1)) for b in (2, 3, 4)},
    "zero_at_3_of_16": torch.arange(-3, 13),
    "zero_at_the_end": torch.arange(-7, 1),
    "unsigned": torch.arange(0, 4),
    "e2m1": element_values(E2M1),
    "e2m3": element_values(E2M3),
    "e3m2": element_values(E3M2),
    "uneven": torch.tensor([-5.0, -1.5, 0.0, 1.0, 2.5, 3.0]),
}
SPREADS = ("dense", "ill-conditioned", "half rank", "one token", "diagonal")


def grid_of(name):
    return GRIDS[name].double()


def problem(seed, width, spread, *, same=True, rows=3, levels=None):
    """(weights, H, target); `levels` rounds the weights coarsely, which makes ties and zeros."""
    make = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=make, dtype=torch.float64)

    tokens = {"half rank": max(1, width // 2), "one token": 1}.get(spread, 3 * width)
    x = normal(tokens, width) @ (torch.eye(width, dtype=torch.float64) + 0.5 * normal(width, width))
    if spread == "ill-conditioned":
        x = x * torch.logspace(0, -5, width, dtype=torch.float64)
    drifted = x if same else x * 0.9 + 0.2 * x.abs().mean() * normal(tokens, width)
    hessian, cross = drifted.T @ drifted, drifted.T @ x
    if spread == "diagonal":
        hessian = cross = torch.diag(hessian.diagonal())
    weights = normal(rows, width)
    if levels:
        weights = (weights * levels).round() / levels
    return weights, hessian, weights @ cross.T


def brute_force(w, grid, hessian, target):
    """The least e of one channel: every piece's codes from scratch, its parabola's own minimum."""
    middles = (grid[1:] + grid[:-1]) / 2
    ends = (w[:, None] / middles).flatten()
    ends = ends[ends.isfinite() & (ends > 0)].unique().flip(0)
    if not len(ends):
        return 0.0
    high, low = ends, torch.cat([ends[1:], torch.zeros(1, dtype=torch.float64)])
    wide = high - low > 1e-11 * high
    high, low = high[wide], low[wide]
    inside = (high + low) / 2
    q = grid[torch.searchsorted(middles, w / inside[:, None])]  # (pieces, in)
    alpha, beta = q @ target, ((q @ hessian) * q).sum(1)
    s = torch.where(beta > 0, alpha / beta, high).clamp(low, high)
    return min(0.0, float((s * (s * beta - 2 * alpha)).min()))


@settings(max_examples=120)
@given(
    seed=st.integers(0, 10**6),
    width=st.integers(1, 32),
    name=st.sampled_from(sorted(GRIDS)),
    spread=st.sampled_from(SPREADS),
    same=st.booleans(),
    levels=st.sampled_from([None, 3]),
)
def test_no_piece_is_better_than_the_one_found(seed, width, name, spread, same, levels):
    w, h, t = problem(seed, width, spread, same=same, levels=levels)
    grid = grid_of(name)
    found = search(w, grid, h, t, storage=torch.float64)
    for row in range(len(w)):
        best = brute_force(w[row], grid, h, t[row])
        assert float(found.error[row]) <= best + 1e-9 * abs(best)
    afresh = score(w, found.scale, grid, h, t)
    torch.testing.assert_close(afresh, found.error, rtol=1e-9, atol=1e-12 * float(h.trace()))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    width=st.integers(1, 24),
    name=st.sampled_from(sorted(set(GRIDS) - {"int8", "int7"})),
    spread=st.sampled_from(SPREADS),
    storage=st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]),
)
def test_all_forms_of_the_search_agree(seed, width, name, spread, storage):
    w, h, t = problem(seed, width, spread, same=False)
    results = [
        search(w, grid_of(name), h, t, storage=storage, signed=True, implementation=implementation)
        for implementation in ("reference", "blocked", "compiled")
    ]
    assert [found.implementation for found in results] == ["reference", "blocked", "compiled"]
    for found in results[1:]:
        torch.testing.assert_close(
            found.error, results[0].error, rtol=1e-9, atol=1e-12 * float(h.trace())
        )


@pytest.mark.parametrize("width", [33, 64, 97])
@pytest.mark.parametrize("name", ["int4", "int6", "int8", "zero_at_3_of_16"])
def test_widths_across_panel_borders_agree_with_the_reference(width, name):
    w, h, t = problem(5, width, "dense", rows=2)
    slow = search(w, grid_of(name), h, t, implementation="reference")
    fast = search(w, grid_of(name), h, t, implementation="compiled")
    torch.testing.assert_close(fast.scale, slow.scale, rtol=0, atol=0)
    torch.testing.assert_close(fast.error, slow.error, rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", ["int2", "int4", "int8", "zero_at_3_of_16", "e2m1", "e3m2"])
def test_a_planted_scale_is_recovered(name):
    grid = grid_of(name)
    _, h, _ = problem(1, 48, "dense")
    pick = torch.randint(len(grid), (4, 48), generator=torch.Generator().manual_seed(2))
    pick[:, 0], pick[:, 1] = 0, len(grid) - 1
    scales = torch.tensor([0.003, 0.11, 1.7, 42.0], dtype=torch.float64)
    w = grid[pick] * scales[:, None]
    t = w @ h
    found = search(w, grid, h, t, storage=torch.float64)
    torch.testing.assert_close(found.scale, scales, rtol=1e-9, atol=0)
    torch.testing.assert_close(found.error, -(w * t).sum(1), rtol=1e-12, atol=0)


@pytest.mark.parametrize("implementation", ["reference", "blocked", "compiled"])
def test_a_diagonal_given_as_such_is_the_dense_diagonal(implementation):
    w, h, t = problem(3, 40, "diagonal")
    for name in ("int3", "int6", "e2m1"):
        dense = search(w, grid_of(name), h, t, implementation=implementation)
        thin = search(w, grid_of(name), h.diagonal(), t, implementation=implementation)
        torch.testing.assert_close(thin.scale, dense.scale, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["int2", "int3", "int4", "e2m1"])
@pytest.mark.parametrize("spread", ["dense", "ill-conditioned"])
def test_a_fine_grid_of_scales_is_never_better(name, spread):
    w, h, t = problem(7, 24, spread, same=False, rows=2)
    found = search(w, grid_of(name), h, t)
    peak = float(w.abs().max())
    tried = torch.logspace(-3, 1, 20_000, dtype=torch.float64) * peak
    for row in range(len(w)):
        best = min(
            float(score(w[row].expand(len(part), -1), part, grid_of(name), h, t[row]).min())
            for part in tried.split(5_000)
        )
        assert float(found.error[row]) <= best + 1e-9 * abs(best)


@pytest.mark.parametrize("storage", [torch.float32, torch.bfloat16, torch.float16])
def test_a_scale_is_storable_and_was_scored_with_the_codes_it_gives(storage):
    w, h, _ = problem(11, 48, "dense", rows=16)
    w = w.float().double()
    grid = grid_of("int3")
    found = search(w, grid, h, w @ h, storage=storage)
    assert torch.equal(found.scale.to(storage).double(), found.scale)
    ratio = w.float() / found.scale.float()[:, None]  # as rounding to nearest will divide
    q = ratio.round().clamp(-4, 3).double()
    s = found.scale
    error = s * (s * ((q @ h) * q).sum(1) - 2 * (q * (w @ h)).sum(1))
    torch.testing.assert_close(found.error, error, rtol=1e-10, atol=0)


def test_no_storable_scale_is_better_than_the_one_stored():
    w, h, t = problem(13, 12, "dense", rows=4)
    grid = grid_of("int3")
    found = search(w, grid, h, t, storage=torch.bfloat16)
    bits = torch.arange(0x3A00, 0x4200, dtype=torch.int16)  # every bfloat16 from 2^-11 to 2^5
    every = bits.view(torch.bfloat16).double()
    for row in range(len(w)):
        best = score(w[row].expand(len(every), -1), every, grid, h, t[row]).min()
        assert float(found.error[row]) <= float(best) * (1 - 1e-9)


def test_signed_scales_put_the_longer_side_where_it_is_needed():
    w, h, t = problem(17, 32, "dense", rows=8)
    grid = grid_of("int2")
    plain = search(w, grid, h, t)
    signed = search(w, grid, h, t, signed=True)
    turned = search(-w, grid, h, -t, signed=True)
    assert bool((signed.error <= plain.error).all())
    assert bool((signed.scale < 0).any())
    torch.testing.assert_close(turned.scale, -signed.scale)
    torch.testing.assert_close(score(w, signed.scale, grid, h, t), signed.error)
    even = search(w, grid_of("narrow4"), h, t, signed=True)
    assert bool((even.scale > 0).all())


def test_single_precision_blocks_lose_nothing_after_the_double_score():
    w, h, t = problem(19, 48, "dense", rows=8)
    w, h, t = w.float(), h.float(), t.float()
    exact = search(w.double(), grid_of("int6"), h.double(), t.double(), implementation="compiled")
    block = search(w, grid_of("int6"), h, t, implementation="blocked")
    energy = (w.double() * t.double()).sum(1)
    torch.testing.assert_close(block.error + energy, exact.error + energy, rtol=2e-2, atol=0)
    afresh = score(w, block.scale, grid_of("int6"), h, t)
    torch.testing.assert_close(afresh, block.error, rtol=1e-12, atol=0)


def test_channels_do_not_see_each_other_or_the_threads():
    w, h, t = problem(23, 40, "dense", rows=50)
    together = search(w, grid_of("int4"), h, t)
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        shuffled = torch.randperm(50, generator=torch.Generator().manual_seed(0))
        apart = search(w[shuffled], grid_of("int4"), h, t[shuffled])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(apart.scale, together.scale[shuffled])
    assert torch.equal(apart.error, together.error[shuffled])


@pytest.mark.parametrize("implementation", ["reference", "blocked", "compiled"])
def test_channels_with_nothing_to_code_get_a_usable_scale(implementation):
    h = torch.eye(4, dtype=torch.float64)
    w = torch.tensor([[0.0] * 4, [0.5] * 4, [1.0, -1.0, 0.0, 0.0]], dtype=torch.float64)
    away = torch.stack([w[0], w[1], -w[2]])  # the third target points the other way
    found = search(w, grid_of("int4"), h, away, implementation=implementation)
    assert float(found.scale[0]) == 1.0
    assert float(found.error[1]) == pytest.approx(-1.0)
    assert torch.equal(nearest(w, found.scale, grid_of("int4"))[2], torch.zeros(4).double())
    assert float(found.error[2]) == 0.0


def test_no_channels_give_no_scales():
    for implementation in ("reference", "blocked", "compiled"):
        none = torch.zeros(0, 4, dtype=torch.float64)
        found = search(
            none, grid_of("int4"), torch.eye(4).double(), none, implementation=implementation
        )
        assert found.scale.shape == found.error.shape == (0,)


@pytest.mark.parametrize("points", [[0.0], [1.0, 2.0], [1.0, 0.0], [0.0, 0.0, 1.0]])
def test_a_grid_without_sense_is_refused(points):
    with pytest.raises(ValueError, match="a grid is sorted"):
        sides(torch.tensor(points))
