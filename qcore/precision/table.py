"""What every layer costs in every format when it alone is quantized.

Costs are kept as measured, and a measured increase in loss may be negative: one batch of text is a
sample, and a rounding error may happen to help on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cache.digest import canonical_json
from qcore.errors import InvalidRecipe
from qcore.precision.layers import LayerSize
from qcore.serialization import from_plain, parse_json, require, to_plain

Measure = Literal["kl", "loss", "proxy"]
Rows = tuple[tuple[float, ...], ...]
"""Numbers by layer, then by format from narrow to wide."""


@dataclass(frozen=True, slots=True)
class BlockSensitivity:
    """One block's rows of a SensitivityTable; the unit in which they are measured and kept.

    Attributes:
        block: decoder block, from 0.
        layers: its linears in execution order.
        formats: from narrow to wide.
        kl: KL(float ‖ network with this layer alone in this format), nats per token.
        loss: increase in the loss, nats per token.
        proxy: relative output error tr(E H Eᵀ) / tr(W H Wᵀ); empty where H was not at hand.
        tokens: predictions over which `kl` and `loss` are means.
    """

    block: int
    layers: tuple[LayerSize, ...]
    formats: tuple[str, ...]
    kl: Rows
    loss: Rows
    proxy: Rows
    tokens: int

    def to_json(self) -> str:
        """The canonical JSON text."""
        return canonical_json(to_plain(self))

    @classmethod
    def from_json(cls, text: str) -> BlockSensitivity:
        """The rows of that text. Raises InvalidRecipe when it holds none."""
        return from_plain(cls, parse_json(text), "block sensitivity")


@dataclass(frozen=True, slots=True)
class SensitivityTable:
    """The cost of every layer of a network in every format.

    Attributes:
        layers: in execution order.
        formats: from narrow to wide.
        kl: nats per token, by layer and format.
        loss: nats per token, likewise.
        proxy: relative output error, likewise; empty where it was not computed.
        tokens: predictions over which `kl` and `loss` are means.
    """

    layers: tuple[LayerSize, ...]
    formats: tuple[str, ...]
    kl: Rows
    loss: Rows
    proxy: Rows
    tokens: int

    def __post_init__(self):
        names = [layer.name for layer in self.layers]
        require(
            len(set(names)) == len(names),
            f"{len(names) - len(set(names))} layers stand twice in a table of sensitivities",
            "measure the sensitivities anew",
        )
        for what, rows in (("kl", self.kl), ("loss", self.loss), ("proxy", self.proxy)):
            if what == "proxy" and not rows:
                continue
            fits = len(rows) == len(names) and all(len(row) == len(self.formats) for row in rows)
            require(
                fits and all(math.isfinite(cost) for row in rows for cost in row),
                f"{what} has no finite number for each of {len(names)} layers in "
                f"{len(self.formats)} formats",
                "measure the sensitivities anew",
            )

    @classmethod
    def of(cls, blocks: Sequence[BlockSensitivity]) -> SensitivityTable:
        """The table of a network from its blocks' rows, in any order.

        Raises:
            InvalidRecipe: blocks that were measured in different formats, or twice.
        """
        first, ordered = blocks[0], sorted(blocks, key=lambda part: part.block)
        require(
            all((part.formats, part.tokens) == (first.formats, first.tokens) for part in blocks),
            "blocks were measured in different formats or on different text",
            "measure the sensitivities anew",
        )
        whole = all(part.proxy for part in blocks)
        return cls(
            layers=tuple(layer for part in ordered for layer in part.layers),
            formats=first.formats,
            kl=tuple(row for part in ordered for row in part.kl),
            loss=tuple(row for part in ordered for row in part.loss),
            proxy=tuple(row for part in ordered for row in part.proxy) if whole else (),
            tokens=first.tokens,
        )

    def cost(self, measure: Measure) -> dict[str, dict[str, float]]:
        """Cost by layer name, then by format name.

        Raises:
            InvalidRecipe: the proxy, where it was not computed.
        """
        rows = {"kl": self.kl, "loss": self.loss, "proxy": self.proxy}[measure]
        if not rows:
            raise InvalidRecipe(
                "the table of sensitivities holds no proxy",
                remedy='capture the calibration text first, or choose the measure "kl"',
            )
        return {
            layer.name: dict(zip(self.formats, row, strict=True))
            for layer, row in zip(self.layers, rows, strict=True)
        }

    def to_json(self) -> str:
        """The canonical JSON text."""
        return canonical_json(to_plain(self))

    @classmethod
    def from_json(cls, text: str) -> SensitivityTable:
        """The table of that text. Raises InvalidRecipe when it holds none."""
        return from_plain(cls, parse_json(text), "sensitivities")


Costs = Mapping[str, Mapping[str, float]]
"""Cost by layer name, then by format name."""


def cost_of(formats: Mapping[str, str], costs: Costs) -> float:
    """Sum of an assignment's sensitivities; NaN where one is not known."""
    return math.fsum(costs.get(layer, {}).get(name, math.nan) for layer, name in formats.items())
