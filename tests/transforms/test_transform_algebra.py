"""Permutation, padding and rotation, composed, change no output and carry H along."""

import itertools

import pytest
import torch

from qcore.errors import InvalidRecipe, NumericalError
from qcore.transforms.algebra import Transform, head_transforms, site_transform
from qcore.transforms.hadamard import (
    block_rotation,
    full_rotation,
    hadamard_matrix,
    signs,
    slots,
)
from qcore.transforms.permutation import permute, permute_heads

WIDTH = 96
ROTATIONS = {
    "none": None,
    "full": full_rotation(WIDTH, seed=1),
    "block": block_rotation(WIDTH, 16, seed=2),
    "expanded full": full_rotation(104, seed=3),
    "expanded block": block_rotation(112, 16, seed=4),
    "random": full_rotation(98, fused=True, seed=5),
}


def dense(transform):
    """T as a matrix."""
    return transform.apply(torch.eye(transform.width, dtype=torch.float64))


def samples(tokens, width=WIDTH, seed=0):
    generator = torch.Generator().manual_seed(seed)
    loudness = torch.exp(torch.randn(width, generator=generator, dtype=torch.float64))
    return torch.randn(tokens, width, generator=generator, dtype=torch.float64) * loudness


def every_composition():
    mean = samples(50).abs().mean(0)
    for (name, rotation), method in itertools.product(ROTATIONS.items(), (None, "massdiff")):
        order = WIDTH if rotation is None else rotation.order
        block = 14 if rotation is not None and rotation.order == 98 else order // 8
        block = rotation.block if name.endswith("block") else block
        permutation = method and permute(method, mean, block, slots=order)
        yield pytest.param(Transform(WIDTH, permutation, rotation), id=f"{name}, {method}")


COMPOSITIONS = list(every_composition())


@pytest.mark.parametrize("transform", COMPOSITIONS)
def test_transformed_input_and_weight_give_the_same_output(transform):
    x, weight = samples(20), samples(7, seed=1)

    output = transform.apply(x) @ transform.apply(weight).T

    assert (output - x @ weight.T).norm() < 1e-12 * (x @ weight.T).norm()


@pytest.mark.parametrize("transform", COMPOSITIONS)
def test_transformed_moment_is_the_moment_of_transformed_samples(transform):
    x, y = samples(40), samples(40, seed=2)

    for left, right in ((x, x), (x, y)):  # H, and a G that is not symmetric
        captured = transform.apply(left).T @ transform.apply(right)
        algebraic = transform.apply_moment(left.T @ right)
        assert (algebraic - captured).norm() < 1e-10 * captured.norm()


@pytest.mark.parametrize("transform", COMPOSITIONS)
def test_matrix_is_what_apply_multiplies_by_and_has_orthonormal_rows(transform):
    x, matrix = samples(5), dense(transform)

    assert matrix.shape == (WIDTH, transform.transformed_width)
    torch.testing.assert_close(transform.apply(x), x @ matrix, rtol=0, atol=1e-11)
    eye = torch.eye(WIDTH, dtype=torch.float64)
    torch.testing.assert_close(matrix @ matrix.T, eye, rtol=0, atol=1e-12)


@pytest.mark.parametrize("transform", COMPOSITIONS)
def test_fused_permutation_and_online_rest_make_the_whole(transform):
    x = samples(5)
    fused = x if transform.permutation is None else x[:, transform.permutation.order]

    assert torch.equal(transform.online.apply(fused), transform.apply(x))


def test_permutation_comes_before_padding_and_rotation():
    rotation = ROTATIONS["expanded block"]
    permutation = permute("random", torch.ones(WIDTH), 16, slots=112, seed=9)
    shuffling = torch.eye(WIDTH, dtype=torch.float64)[:, permutation.order]
    signs_and_slots = torch.zeros(WIDTH, 112, dtype=torch.float64)
    signs_and_slots[torch.arange(WIDTH), slots(rotation, WIDTH)] = signs(rotation, WIDTH).double()
    blocks = torch.block_diag(*[hadamard_matrix(16).double() / 4] * 7)

    torch.testing.assert_close(
        dense(Transform(WIDTH, permutation, rotation)),
        shuffling @ signs_and_slots @ blocks,
        rtol=0,
        atol=1e-12,
    )


def test_mean_magnitudes_follow_a_permutation():
    x = samples(30)
    transform = Transform(WIDTH, permute("massdiff", x.abs().mean(0), 16))

    torch.testing.assert_close(
        transform.apply_mean(x.abs().mean(0)), transform.apply(x).abs().mean(0)
    )


def test_mean_magnitudes_are_refused_by_a_rotation():
    with pytest.raises(NumericalError, match="does not determine"):
        Transform(WIDTH, rotation=ROTATIONS["full"]).apply_mean(torch.ones(WIDTH))


def test_equal_mean_magnitudes_can_rotate_into_different_ones():
    same = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    mixed = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    rotation = Transform(2, rotation=full_rotation(2))

    assert torch.equal(same.abs().mean(0), mixed.abs().mean(0))
    assert not torch.equal(rotation.apply(same).abs().mean(0), rotation.apply(mixed).abs().mean(0))


def test_permutation_before_a_block_rotation_lowers_the_peak_that_the_bound_allows():
    x = samples(200)
    mean = x.abs().mean(0)
    plain = Transform(WIDTH, None, block_rotation(WIDTH, 16))
    sorted_badly = Transform(
        WIDTH, permute("absmax", mean, 16, absmax=x.abs().amax(0)), plain.rotation
    )
    balanced = Transform(WIDTH, permute("massdiff", mean, 16), plain.rotation)

    assert balanced.apply(x).abs().amax() < sorted_badly.apply(x).abs().amax()


def test_identity_returns_its_input():
    x = samples(3)

    assert Transform(WIDTH).transformed_width == WIDTH
    assert Transform(WIDTH).apply(x) is x


def test_knobs_make_the_transform_they_name():
    mean = samples(50).abs().mean(0)

    made = site_transform(WIDTH, block=16, size=112, method="massdiff", mean=mean, sign_seed=4)

    assert made.rotation == ROTATIONS["expanded block"]
    expected = permute("massdiff", mean, 16, slots=112)
    assert torch.equal(made.permutation.order, expected.order)
    assert site_transform(WIDTH, block=16).permutation is None
    assert site_transform(WIDTH, sign_seed=1).rotation == ROTATIONS["full"]


def test_full_rotation_takes_no_permutation_unless_it_falls_back_to_blocks():
    assert site_transform(WIDTH, method="massdiff").permutation is None

    fallback = site_transform(668, method="massdiff", mean=torch.rand(668))

    assert fallback.rotation.block == 4
    assert len(fallback.permutation.mass) == 668 // 4


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Transform(8, permute("identity", torch.ones(4), 2)), "permutation of 4"),
        (lambda: Transform(8, rotation=full_rotation(4)), "rotation of 4 does not hold 8"),
        (lambda: Transform(8).apply(torch.ones(9)), "9 features meet a transform of 8"),
        (lambda: Transform(8).apply_moment(torch.ones(9, 9)), "9 features"),
        (lambda: Transform(8).apply_mean(torch.ones(9)), "9 features"),
        (lambda: site_transform(16, size=12), "12 is narrower than the 16 inputs"),
        (lambda: site_transform(16, block=5), "block 5 does not divide 16; choose 2, 4, 8, 16"),
        (lambda: site_transform(16, block=4, method="massdiff"), "needs the mean magnitudes"),
    ],
)
def test_parts_that_do_not_fit_are_refused(call, words):
    with pytest.raises(InvalidRecipe, match=words):
        call()


def test_every_value_head_has_its_own_order_and_the_shared_rotation():
    rotation = full_rotation(8, seed=3)
    order = permute_heads("massdiff", samples(30, 32).abs().mean(0), 4, heads=4, kv_heads=2)

    heads = head_transforms(8, 2, rotation, order)

    values = samples(5, 16, seed=1)
    permuted = values[:, order.values]
    for head, transform in enumerate(heads):
        here = slice(8 * head, 8 * head + 8)
        expected = permuted[:, here] @ dense(Transform(8, None, rotation))
        assert torch.allclose(transform.apply(values[:, here]), expected, rtol=0, atol=1e-12)
        assert transform.permutation is not None
        mass = order.outputs.mass.view(2, 2, 2)[head].sum(0)
        assert torch.equal(transform.permutation.mass, mass)


def test_an_order_of_other_heads_is_refused():
    order = permute_heads("random", torch.ones(32), 4, heads=4, kv_heads=2)
    with pytest.raises(InvalidRecipe, match="16 values does not fit 4 heads of 8"):
        head_transforms(8, 4, None, order)
