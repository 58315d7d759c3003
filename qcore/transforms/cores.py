"""Hadamard cores: ±1 matrices K with K Kᵀ = v I, for orders that are not powers of two.

Everything is made by rule; nothing is stored but twelve short numbers. With q an odd prime power
and χ the quadratic character of GF(q):

- *Paley I*, v = q + 1, q ≡ 3 mod 4: I + S, with S = [[0, 1], [−1, χ(b − a)]] skew.
- *Paley II*, v = 2(q + 1), q ≡ 1 mod 4: C ⊗ [[1, 1], [1, −1]] + I ⊗ [[1, −1], [−1, −1]], with
  C = [[0, 1], [1, χ(b − a)]] symmetric.
- *Goethals–Seidel*, v = 4n: four circulants A, B, C, D with AAᵀ + BBᵀ + CCᵀ + DDᵀ = 4n I in one
  array. For v = 92, 156 and 172, which no Paley rule reaches, their first rows are constant on
  the orbits of a multiplicative group acting on Z_n; that leaves 12, 15 and 7 signs to a row, few
  enough to search them all. `GOETHALS_SEIDEL` keeps one solution each, as the bits of those signs.
- *Doubling*: K ⊗ [[1, 1], [1, −1]].

`core` tries them in this order. (Paley 1933; Goethals and Seidel 1967.)
"""

from __future__ import annotations

import functools
import itertools

import torch
from jaxtyping import Int
from torch import Tensor

MAX_CORE = 1024
"""Largest core that is looked for: its dense product costs v operations per feature."""

GOETHALS_SEIDEL = {
    92: (22, (0x694, 0xAE6, 0xB82, 0x80E)),
    156: (16, (0x6CE, 0x2E5C, 0x27F4, 0x10BC)),
    172: (4, (0x32, 0x2A, 0x68, 0x3C)),
}
"""Order v = 4n → (generator g, four sign patterns).

Bit j of a pattern is set where the first row is −1 on the j-th orbit of x → g·x on Z_n, orbits
numbered by their least element.
"""


@functools.cache
def has_core(order: int) -> bool:
    """Whether `core(order)` exists, without making it."""
    return order in (1, 2) or (
        1 <= order <= MAX_CORE
        and order % 4 == 0
        and (_rule(order) is not None or has_core(order // 2))
    )


@functools.cache
def core(order: int) -> Int[Tensor, "order order"]:
    """A Hadamard matrix, ±1 in int8. Shared between callers: do not write to it.

    Raises:
        ValueError: no rule here makes that order (`has_core` tells beforehand).
    """
    if not has_core(order):
        raise ValueError(f"no rule makes a Hadamard matrix of order {order}")
    if order == 1:
        return torch.ones(1, 1, dtype=torch.int8)
    rule = _rule(order)
    if rule is not None:
        return rule(order)
    return torch.kron(core(order // 2), torch.tensor([[1, 1], [1, -1]], dtype=torch.int8))


def _rule(order: int):
    """The first rule that makes `order` without doubling, or None."""
    if order % 4 == 0 and (order - 1) % 4 == 3 and prime_power(order - 1):
        return paley_one
    if order % 4 == 0 and (order // 2 - 1) % 4 == 1 and prime_power(order // 2 - 1):
        return paley_two
    return goethals_seidel if order in GOETHALS_SEIDEL else None


def paley_one(order: int) -> Int[Tensor, "order order"]:
    """I + S for order = q + 1, q ≡ 3 mod 4 a prime power."""
    skew = _bordered(quadratic_differences(order - 1), corner=-1)
    return skew + torch.eye(order, dtype=torch.int8)


def paley_two(order: int) -> Int[Tensor, "order order"]:
    """C ⊗ [[1, 1], [1, −1]] + I ⊗ [[1, −1], [−1, −1]] for order = 2(q + 1), q ≡ 1 mod 4."""
    conference = _bordered(quadratic_differences(order // 2 - 1), corner=1)
    eye = torch.eye(order // 2, dtype=torch.int8)
    plus = torch.tensor([[1, 1], [1, -1]], dtype=torch.int8)
    minus = torch.tensor([[1, -1], [-1, -1]], dtype=torch.int8)
    return torch.kron(conference, plus) + torch.kron(eye, minus)


def goethals_seidel(order: int) -> Int[Tensor, "order order"]:
    """Four circulants in Goethals and Seidel's array, from the signs kept for this order."""
    generator, patterns = GOETHALS_SEIDEL[order]
    orbits = multiplier_orbits(order // 4, generator)
    a, b, c, d = (_circulant(_row(pattern, orbits)) for pattern in patterns)
    b, c, d = (matrix.flip(1) for matrix in (b, c, d))  # XR: columns reversed
    # (XᵀR) from XR: Xᵀ R = (R X)ᵀ, and for a circulant R X = Xᵀ R, hence Xᵀ R = R X.
    bt, ct, dt = (matrix.flip(0).flip(1) for matrix in (b, c, d))
    return torch.cat(
        (
            torch.cat((a, b, c, d), 1),
            torch.cat((-b, a, dt, -ct), 1),
            torch.cat((-c, -dt, a, bt), 1),
            torch.cat((-d, ct, -bt, a), 1),
        )
    )


def multiplier_orbits(n: int, generator: int) -> list[list[int]]:
    """Orbits of x → generator·x on Z_n, in the order of their least elements."""
    orbits, seen = [], set()
    for start in range(n):
        if start not in seen:
            orbit, x = [], start
            while x not in orbit:
                orbit.append(x)
                x = x * generator % n
            orbits.append(orbit)
            seen.update(orbit)
    return orbits


@functools.cache
def prime_power(q: int) -> tuple[int, int] | None:
    """(p, k) with q = p^k and p an odd prime, or None."""
    if q < 3:
        return None
    p = next((d for d in range(2, int(q**0.5) + 1) if q % d == 0), q)
    k = 0
    rest = q
    while rest % p == 0:
        rest, k = rest // p, k + 1
    return (p, k) if rest == 1 and p > 2 else None


def quadratic_differences(q: int) -> Int[Tensor, "q q"]:
    """χ(b − a) for a, b over GF(q): 0 on the diagonal, 1 for squares, −1 for the others, int8.

    An element of GF(p^k) is numbered by its digits in base p, lowest first.
    """
    power = prime_power(q)
    if power is None:
        raise ValueError(f"{q} is no odd prime power")
    p, k = power
    digits = torch.tensor(list(itertools.product(range(p), repeat=k))).flip(1)  # (q, k)
    weights = p ** torch.arange(k)
    chi = torch.full((q,), -1, dtype=torch.int8)
    chi[_nonzero_squares(digits, p)] = 1
    chi[0] = 0
    difference = ((digits[None, :] - digits[:, None]) % p) @ weights  # (q, q)
    return chi[difference]


def _nonzero_squares(digits: Int[Tensor, "q k"], p: int) -> Tensor:
    """Numbers of the squares of GF(p^k)'s nonzero elements.

    The field is Z_p[t] modulo the first monic polynomial whose ring is a field. The squares tell:
    a field has (q − 1)/2 of them; a ring with a nilpotent element has zero among them; a product
    of fields has fewer, since each factor's sign can be chosen alone and leaves the square alone.
    """
    q, k = digits.shape
    weights = p ** torch.arange(k)
    for tail in digits:  # t^k = −tail
        square = torch.zeros(q, 2 * k - 1, dtype=torch.long)
        for i, j in itertools.product(range(k), repeat=2):
            square[:, i + j] += digits[:, i] * digits[:, j]
        for top in range(2 * k - 2, k - 1, -1):
            square[:, top - k : top] -= square[:, [top]] * tail
            square %= p
        squares = (square[1:, :k] % p @ weights).unique()
        if len(squares) == (q - 1) // 2 and squares[0] != 0:
            return squares
    raise AssertionError("every finite field has an irreducible polynomial")


def _bordered(inner: Tensor, corner: int) -> Tensor:
    """[[0, 1], [±1, inner]]."""
    q = inner.shape[0]
    whole = torch.zeros(q + 1, q + 1, dtype=torch.int8)
    whole[0, 1:], whole[1:, 0], whole[1:, 1:] = 1, corner, inner
    return whole


def _row(pattern: int, orbits: list[list[int]]) -> Int[Tensor, " n"]:
    row = torch.ones(sum(map(len, orbits)), dtype=torch.int8)
    for bit, orbit in enumerate(orbits):
        if pattern >> bit & 1:
            row[orbit] = -1
    return row


def _circulant(row: Tensor) -> Int[Tensor, "n n"]:
    n = len(row)
    index = torch.arange(n)
    return row[(index[None, :] - index[:, None]) % n]
