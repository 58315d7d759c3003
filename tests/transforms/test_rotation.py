"""Rotations are orthogonal, act consistently, and say what they are."""

import math

import pytest
import torch

from kernels.elements.values import E2M1
from kernels.rotate_quantize.values import Integer, Microscaling
from qcore.errors import InvalidRecipe
from qcore.transforms.cores import has_core
from qcore.transforms.hadamard import (
    Order,
    _held,
    block_rotation,
    full_rotation,
    hadamard_matrix,
    largest_block,
    order_for,
    power_of_two_blocks,
    random_orthogonal,
    rotate,
    rotate_and_quantize,
    rotate_moment,
    signs,
    slots,
)

EXACT = [
    full_rotation(64),
    full_rotation(576, seed=3),
    full_rotation(1536),
    full_rotation(172, seed=1),
    block_rotation(96, 16),
    block_rotation(96, 32, seed=5),
    block_rotation(96, 12),
    full_rotation(23, fused=True, seed=2),
    full_rotation(3024, seed=6),
]
EXPANDED = [(full_rotation(1664, seed=1), 1536), (full_rotation(40), 33), (full_rotation(40), 1)]
EXPANDED += [(block_rotation(1664, 32, seed=1), 1536), (block_rotation(64, 16), 3)]
EXPANDED += [(block_rotation(80, 16), n) for n in (0, 5, 64, 67, 80)]
EXPANDED += [(full_rotation(23, fused=True), 20)]


def samples(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(11), dtype=torch.float64)


def dense(rotation, n=None):
    """The first n rows of R."""
    return rotate(torch.eye(rotation.order if n is None else n, dtype=torch.float64), rotation)


def name(value):
    return value.title if hasattr(value, "title") else str(value)


@pytest.mark.parametrize("rotation", EXACT, ids=name)
def test_rotation_is_orthogonal(rotation):
    matrix = dense(rotation)

    eye = torch.eye(rotation.order, dtype=torch.float64)
    torch.testing.assert_close(matrix @ matrix.T, eye, rtol=0, atol=1e-12)
    torch.testing.assert_close(matrix.T @ matrix, eye, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rotation", "n"), EXPANDED, ids=name)
def test_expanded_rotation_keeps_orthonormal_rows(rotation, n):
    matrix = dense(rotation, n)

    assert matrix.shape == (n, rotation.order)
    torch.testing.assert_close(
        matrix @ matrix.T, torch.eye(n, dtype=torch.float64), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(("rotation", "n"), EXPANDED, ids=name)
def test_expanded_rotation_is_that_of_zeros_in_the_other_slots(rotation, n):
    x = samples(4, n)
    padded = x.new_zeros(4, rotation.order)
    padded[:, slots(rotation, n)] = x * signs(rotation, n)
    if rotation.kind == "random":
        whole = random_orthogonal(rotation.order, rotation.seed)
    else:
        one = hadamard_matrix(rotation.block).double() / math.sqrt(rotation.block)
        whole = torch.block_diag(*[one] * (rotation.order // rotation.block))

    torch.testing.assert_close(rotate(x, rotation), padded @ whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rotation", EXACT, ids=name)
def test_rotating_inputs_and_weight_leaves_the_output_unchanged(rotation):
    x, weight = samples(5, rotation.order), samples(7, rotation.order)

    output = rotate(x, rotation) @ rotate(weight, rotation).T

    torch.testing.assert_close(output, x @ weight.T, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("rotation", "n"), [*((r, r.order) for r in EXACT), *EXPANDED], ids=name)
def test_rotated_moment_is_the_moment_of_rotated_samples(rotation, n):
    x, y = samples(20, n), samples(21, n)[1:]

    for left, right in ((x, x), (x, y)):  # H, and a G that is not symmetric
        expected = rotate(left, rotation).T @ rotate(right, rotation)
        torch.testing.assert_close(
            rotate_moment(left.T @ right, rotation), expected, rtol=0, atol=1e-10
        )


@pytest.mark.parametrize(
    "rotation",
    [full_rotation(80, seed=70), block_rotation(80, 16), full_rotation(77, fused=True, seed=70)],
    ids=name,
)
def test_gradients_flow_after_a_first_use_in_inference_mode(rotation):
    with torch.inference_mode():
        rotate(samples(2, rotation.order), rotation)
    x = samples(2, rotation.order).requires_grad_()

    rotate(x, rotation).square().sum().backward()

    torch.testing.assert_close(x.grad, 2 * x.detach(), rtol=0, atol=1e-11)


def test_full_rotation_flattens_a_spike_completely():
    spike = torch.zeros(1536, dtype=torch.float64)
    spike[700] = 1536**0.5

    torch.testing.assert_close(
        rotate(spike, full_rotation(1536, seed=4)).abs(), torch.ones_like(spike)
    )


def test_equal_seeds_give_equal_signs_and_other_seeds_others():
    assert torch.equal(dense(full_rotation(64, seed=8)), dense(full_rotation(64, seed=8)))
    assert not torch.equal(dense(full_rotation(64, seed=8)), dense(full_rotation(64, seed=9)))
    assert signs(full_rotation(64), 64).eq(1).all()


def test_signs_are_balanced():
    drawn = signs(full_rotation(8192, seed=0), 8192)

    assert set(drawn.tolist()) == {-1, 1}
    assert abs(int(drawn.sum())) < 5 * math.sqrt(8192)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (1, Order(1, 0)),
        (8192, Order(1, 13)),
        (576, Order(36, 4)),
        (1536, Order(12, 7)),
        (14336, Order(28, 9)),
        (11008, Order(172, 6)),
        (18944, Order(148, 7)),
        (9728, Order(76, 7)),
        (29568, Order(924, 5)),
        (12960, Order(108, 1, 60)),
        (12096, Order(84, 2, 36)),
        (3024, Order(84, 0, 36)),
        (13696, None),
        (23, None),
        (0, None),
    ],
)
def test_width_splits_into_its_smallest_core_and_a_power_of_two(width, expected):
    assert order_for(width) == expected
    if expected is not None:
        assert expected.size == width


@pytest.mark.parametrize("width", [12960, 12096])
def test_products_of_two_cores_are_orthogonal_and_mix_everything(width):
    rotation = full_rotation(width)
    assert rotation.is_full
    assert not rotation.note
    found = order_for(width)
    assert found is not None
    assert found.size == width
    assert rotation.title == f"Hadamard {found.outer}·{found.core}·2^{found.log2}"
    x = samples(3, width)
    x[0], x[0, 777] = 0.0, width**0.5
    y = rotate(x, rotation)
    torch.testing.assert_close(y[0].abs(), torch.ones(width, dtype=torch.float64))
    torch.testing.assert_close(y @ y.T, x @ x.T, rtol=1e-12, atol=1e-9)
    half = rotate(x.bfloat16(), rotation)
    assert torch.equal(half, rotate(x.bfloat16().float(), rotation).bfloat16())


def test_the_factored_product_is_the_dense_matrix():
    rotation, x = full_rotation(3024), samples(2, 3000)
    matrix = hadamard_matrix(3024).double() / 3024**0.5
    torch.testing.assert_close(rotate(x, rotation), x @ matrix[:3000], rtol=0, atol=1e-12)


def test_a_product_is_taken_only_where_no_single_core_serves():
    for width in range(4, 20001, 4):
        found = order_for(width)
        if found is not None and found.outer > 1:
            twos = (width & -width).bit_length() - 1
            odd = width >> twos
            assert not any(has_core(odd << k) for k in range(2, twos + 1))


def test_online_rotation_without_a_hadamard_matrix_falls_back_to_blocks_and_says_so():
    rotation = full_rotation(13696)

    assert rotation.block == largest_block(13696) == 128
    assert not rotation.is_full
    assert "13696" in rotation.note
    assert "blocks of 128" in rotation.note
    assert rotation.title == "Hadamard in blocks of 128"


def test_fused_rotation_without_a_hadamard_matrix_falls_back_to_a_random_one_and_says_so():
    rotation = full_rotation(46, fused=True, seed=1)

    assert rotation.kind == "random"
    assert rotation.is_full
    assert "46" in rotation.note
    assert not torch.equal(random_orthogonal(46, 1), random_orthogonal(46, 2))


def test_rotation_that_is_what_was_asked_has_no_note():
    assert full_rotation(1536).note == block_rotation(1536, 32).note == ""
    assert full_rotation(1536).title == "Hadamard 12·2^7"
    assert full_rotation(8192).title == "Hadamard 2^13"


def test_half_precision_is_rounded_once():
    x = samples(8, 575).bfloat16()
    for rotation in (
        full_rotation(576, seed=1),
        block_rotation(576, 32),
        full_rotation(575, fused=True),
    ):
        assert torch.equal(rotate(x, rotation), rotate(x.float(), rotation).bfloat16())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: block_rotation(1536, 100), "block 100 does not divide 1536; choose 2, 4, 8"),
        (lambda: block_rotation(1536, 0), "block 0 does not divide"),
        (lambda: block_rotation(1536, 6), "no Hadamard matrix of order 6"),
        (lambda: block_rotation(0, 2), "0 features"),
        (lambda: full_rotation(-4), "-4 features"),
        (lambda: rotate(samples(65), full_rotation(64)), "65 features do not fit"),
        (lambda: hadamard_matrix(668), "668 is known; choose blocks of 4"),
    ],
)
def test_what_cannot_be_rotated_is_refused_with_the_remedy(call, words):
    with pytest.raises(InvalidRecipe, match=words):
        call()


def test_blocks_on_offer_are_the_powers_of_two_that_divide():
    assert power_of_two_blocks(1536) == [2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert power_of_two_blocks(23) == []


@pytest.mark.parametrize(
    "rotation", [block_rotation(96, 16, seed=3), full_rotation(96, seed=3)], ids=["block", "full"]
)
def test_rotating_again_copies_neither_matrix_nor_signs(rotation):
    x = samples(2, 90)
    rotate(x, rotation)
    before = _held.cache_info()
    rotate(x, rotation)
    after = _held.cache_info()
    assert after.misses == before.misses
    assert after.hits - before.hits >= 2  # the matrix and the signs


@pytest.mark.parametrize("quantizer", [Integer(4, symmetric=False), Microscaling(E2M1)], ids=str)
def test_rotating_and_quantizing_is_one_after_the_other(quantizer):
    rotation = block_rotation(128, 32, seed=5)
    x = samples(3, 100).bfloat16()
    found = rotate_and_quantize(x, rotation, quantizer)
    assert torch.equal(found, quantizer.apply(rotate(x, rotation)))


def test_only_blocks_are_rotated_and_quantized_in_one():
    with pytest.raises(InvalidRecipe, match=r"Hadamard 12·2\^3 mixes all 96 features; rotate in"):
        rotate_and_quantize(torch.ones(2, 96), full_rotation(96), Integer(4, symmetric=True))
    with pytest.raises(InvalidRecipe, match="97 features do not fit a rotation of 96"):
        rotate_and_quantize(torch.ones(2, 97), block_rotation(96, 16), Integer(4, symmetric=True))
