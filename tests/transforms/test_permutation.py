"""Permutations share the ℓ1 mass as the paper does."""

import itertools

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from qcore.errors import InvalidRecipe, NumericalError
from qcore.transforms.permutation import (
    METHODS,
    block_mass,
    capacities,
    mass_diff,
    permute,
    permute_heads,
)


def heavy_tailed(tokens, d, seed=0):
    """Activations with a few loud channels, whole numbers so that sums are exact in any order."""
    generator = torch.Generator().manual_seed(seed)
    loudness = torch.exp(2 * torch.randn(d, generator=generator))
    x = torch.randn(tokens, d, generator=generator) * loudness * 8
    return x.round().double()


def per_token_greedy(x, block):
    """The paper's text, with activations: masses of every block are kept for every token."""
    d = x.shape[1]
    blocks = d // block
    score = x.abs().mean(0)
    ranked = sorted(range(d), key=lambda i: (-score[i].item(), i))
    members = [[channel] for channel in ranked[:blocks]]
    for channel in ranked[blocks:]:
        best, least = None, None
        for j in range(blocks):
            if len(members[j]) < block:
                mass = x[:, members[j]].abs().sum(1).mean().item()
                if least is None or mass < least:
                    best, least = j, mass
        members[best].append(channel)
    return [channel for block_members in members for channel in block_members]


@pytest.mark.parametrize(("d", "block"), [(64, 8), (96, 16), (60, 5), (32, 32), (24, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_massdiff_on_means_is_the_per_token_greedy(d, block, seed):
    x = heavy_tailed(64, d, seed)  # 64 tokens: the mean divides by a power of two, exactly

    chosen = permute("massdiff", x.abs().mean(0), block)

    assert chosen.order.tolist() == per_token_greedy(x, block)


means = st.lists(st.integers(0, 50), min_size=1, max_size=40)


@settings(max_examples=150)
@given(means, st.integers(1, 8), st.integers(0, 12), st.sampled_from(METHODS))
def test_every_method_returns_a_permutation_and_its_true_masses(values, block, spare, method):
    mean = torch.tensor(values, dtype=torch.float64)
    slots = -(-(len(values) + spare) // block) * block

    made = permute(method, mean, block, absmax=mean.sqrt(), seed=1, slots=slots)

    assert sorted(made.order.tolist()) == list(range(len(values)))
    room = capacities(len(values), block, slots)
    assert sum(room) == len(values)
    assert max(room) <= block
    assert max(room) - min(room) <= 1
    parts = torch.tensor(values)[made.order].split(room)
    assert made.mass.tolist() == [float(part.sum()) for part in parts]


@settings(max_examples=100)
@given(st.lists(st.integers(1, 30), min_size=4, max_size=24), st.sampled_from([2, 3, 4]))
def test_massdiff_always_takes_the_lightest_block_with_room(values, block):
    values = values[: len(values) // block * block]
    room = capacities(len(values), block)
    order = mass_diff(torch.tensor(values, dtype=torch.float64), room).tolist()
    members = [order[j * block : (j + 1) * block] for j in range(len(room))]
    ranked = sorted(range(len(values)), key=lambda i: (-values[i], i))

    held = [[] for _ in room]
    for channel in ranked:
        home = next(j for j, member in enumerate(members) if channel in member)
        masses = [sum(values[i] for i in h) for h in held]
        free = [masses[j] for j in range(len(room)) if len(held[j]) < block]
        assert masses[home] == min(free)
        held[home].append(channel)


def test_massdiff_comes_within_a_third_of_the_best_order_on_small_inputs():
    for seed in range(5):
        values = heavy_tailed(16, 6, seed).abs().mean(0)
        best = min(
            max(float(values[list(a)].sum()), float(values.sum() - values[list(a)].sum()))
            for a in itertools.combinations(range(6), 3)
        )

        largest = float(permute("massdiff", values, 3).mass.max())

        assert best <= largest <= best * 4 / 3


def test_massdiff_lowers_the_largest_mass_below_every_other_order():
    mean = heavy_tailed(128, 1536).abs().mean(0)
    largest = {
        method: float(permute(method, mean, 32, absmax=mean, seed=0).mass.max())
        for method in METHODS
    }

    assert min(largest, key=lambda method: largest[method]) == "massdiff"
    assert largest["absmax"] == max(largest.values())
    assert largest["massdiff"] < largest["zigzag"] < largest["identity"]


def test_ties_go_to_the_lower_channel_and_block():
    assert permute("massdiff", torch.ones(6), 2).order.tolist() == [0, 3, 1, 4, 2, 5]
    assert permute("massdiff", torch.zeros(6), 2).order.tolist() == [0, 3, 1, 4, 2, 5]
    assert permute("absmax", torch.ones(4), 2, absmax=torch.ones(4)).order.tolist() == [0, 1, 2, 3]


def test_zigzag_is_rows_of_the_sorted_channels_with_odd_rows_reversed_transposed():
    absmax = heavy_tailed(8, 48).abs().amax(0) + torch.arange(48) / 64  # no ties
    ranked = torch.argsort(absmax, descending=True).reshape(8, 6)  # block × blocks
    ranked[1::2] = ranked[1::2].flip(1)

    made = permute("zigzag", absmax, 8, absmax=absmax)

    assert made.order.tolist() == ranked.T.reshape(-1).tolist()


def test_absmax_sorts_and_identity_stays_and_random_follows_its_seed():
    absmax = heavy_tailed(8, 32).abs().amax(0)

    assert absmax[permute("absmax", absmax, 8, absmax=absmax).order].diff().le(0).all()
    assert permute("identity", absmax, 8).order.tolist() == list(range(32))
    one, same, other = (permute("random", absmax, 8, seed=s).order for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_expanded_blocks_share_the_zeros():
    mean = heavy_tailed(32, 64).abs().mean(0)

    made = permute("massdiff", mean, 16, slots=80)

    assert capacities(64, 16, 80) == [13, 13, 13, 13, 12]
    assert len(made.mass) == 5
    assert float(made.mass.max()) < float(permute("massdiff", mean, 16).mass.max())


def test_heads_that_share_values_share_their_order():
    heads, kv_heads, width = 6, 2, 16
    mean = heavy_tailed(32, heads * width).abs().mean(0)

    made = permute_heads("massdiff", mean, 4, heads=heads, kv_heads=kv_heads)

    values = made.values.reshape(kv_heads, width)
    for kv in range(kv_heads):
        within = values[kv] - kv * width
        assert sorted(within.tolist()) == list(range(width))
        for head in range(3 * kv, 3 * kv + 3):
            assert torch.equal(
                made.outputs.order.reshape(heads, width)[head], within + head * width
            )
    assert torch.equal(made.outputs.mass, block_mass(mean[made.outputs.order], [4] * 24))


def test_permuted_heads_compute_what_they_did():
    heads, kv_heads, width, hidden = 4, 2, 8, 5
    generator = torch.Generator().manual_seed(0)
    v_proj = torch.randn(kv_heads * width, hidden, generator=generator, dtype=torch.float64)
    o_proj = torch.randn(hidden, heads * width, generator=generator, dtype=torch.float64)
    attention = torch.rand(heads, 3, 3, generator=generator, dtype=torch.float64)
    x = torch.randn(3, hidden, generator=generator, dtype=torch.float64)

    def attend(v_proj, o_proj):
        values = (x @ v_proj.T).reshape(3, kv_heads, width).repeat_interleave(2, 1)
        mixed = torch.einsum("hts,shw->thw", attention, values).reshape(3, heads * width)
        return mixed @ o_proj.T

    mean = heavy_tailed(16, heads * width).abs().mean(0)
    made = permute_heads("massdiff", mean, 4, heads=heads, kv_heads=kv_heads)

    permuted = attend(v_proj[made.values], o_proj[:, made.outputs.order])
    torch.testing.assert_close(permuted, attend(v_proj, o_proj), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: permute("massdiff", torch.ones(12), 5), "block 5 does not divide 12; choose 2, 4"),
        (lambda: permute("massdiff", torch.ones(12), 0), "block 0 does not divide 12"),
        (lambda: permute("zigzag", torch.ones(12), 4), "none was captured"),
        (lambda: permute("massdiff", torch.ones(12), 4, slots=8), "12 channels do not fit 8"),
        (
            lambda: permute("absmax", torch.ones(12), 4, absmax=torch.ones(4)),
            r"shape \(4,\) for 12",
        ),
        (lambda: mass_diff(torch.ones(4), [2, 3]), "room for 5 do not take 4"),
        (
            lambda: permute_heads("massdiff", torch.ones(12), 4, heads=3, kv_heads=2),
            "3 heads sharing 2",
        ),
    ],
)
def test_what_cannot_be_permuted_is_refused_with_the_remedy(call, words):
    with pytest.raises(InvalidRecipe, match=words):
        call()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_a_statistic_that_is_no_magnitude_is_refused_with_its_channel(bad):
    mean = torch.ones(8)
    mean[5] = bad

    with pytest.raises(NumericalError, match="channel 5"):
        permute("massdiff", mean, 4)
