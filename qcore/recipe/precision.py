"""The recipe's part that spends a bit budget: which layer gets which format.

Formats of one kind compete: MX formats, or symmetric integers. How a budget is counted:

    weights   mean element bits of a weight, each weight once; scales not counted (MXFP4 is 4.0)
    both      mean of that and of the activations' mean element bits, each input feature once
    bytes     mean bits of a weight with its scales and zero points: what storage holds

`weighting` replaces the mean over weights or features by the mean over layers, as the dMX paper's
plain mean does (arXiv 2606.04115).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from qcore.formats.format import FORMATS, named
from qcore.serialization import require, require_name

Method = Literal["uniform", "random", "kl", "knapsack", "dmx", "manual"]


@dataclass(frozen=True, slots=True)
class Pin:
    """A format that layers keep whatever the budget.

    Attributes:
        layer: a layer (`3.mlp.down_proj`), a projection in all blocks (`down_proj`), or all of a
            block (`3`). A layer's own pin goes before a projection's, that before a block's.
        format: a name among the part's `formats`.
    """

    layer: str
    format: str

    def __post_init__(self):
        require_name(self.layer, "layer")
        require(bool(self.layer), "a pin names no layer", "write 3.mlp.down_proj, down_proj or 3")


@dataclass(frozen=True, slots=True)
class Probe:
    """The text behind sensitivities: `windows` × `length` tokens from the calibration text's start.

    Attributes:
        windows: few are enough for an order of layers.
        length: tokens in a window.
        measure: what a layer's format costs: `kl` to the float network, the increase in `loss`, or
            `proxy`, the layer's relative output error from the captured Hessian alone.
    """

    windows: int = 1
    length: int = 256
    measure: Literal["kl", "loss", "proxy"] = "kl"

    def __post_init__(self):
        require(self.windows >= 1, f"{self.windows} probe windows are none", "ask for at least 1")
        require(
            2 <= self.length <= 32768,
            f"probe length {self.length} is out of range",
            "choose 2 to 32768 tokens",
        )


@dataclass(frozen=True, slots=True)
class Training:
    """The training of dMX's offsets; the paper's setting where a step costs little (400 × 8).

    Attributes:
        steps: optimiser steps.
        batch: windows of a step.
        length: tokens in a window, taken in turn from the calibration text.
        rate: of SGD with Nesterov momentum.
        momentum: of SGD.
        penalty: λ of λ·max(0, b̄ − budget), nats per bit.
    """

    steps: int = 120
    batch: int = 1
    length: int = 128
    rate: float = 1.0
    momentum: float = 0.99
    penalty: float = 5.0

    def __post_init__(self):
        require(self.steps >= 1, f"{self.steps} steps are none", "ask for at least 1")
        require(self.batch >= 1, f"a batch of {self.batch} is none", "ask for at least 1")
        require(
            2 <= self.length <= 32768,
            f"training length {self.length} is out of range",
            "choose 2 to 32768 tokens",
        )
        require(self.rate > 0, f"learning rate {self.rate:g} does not learn", "choose more than 0")
        require(
            0 <= self.momentum < 1,
            f"momentum {self.momentum:g} is out of range",
            "choose at least 0 and less than 1",
        )
        require(self.penalty > 0, f"penalty {self.penalty:g} is none", "choose more than 0")


@dataclass(frozen=True, slots=True)
class Precision:
    """One format per layer, under a bit budget (methods: arXiv 2606.04115).

    Attributes:
        method: `uniform` (the widest format that fits everywhere, then layers in stored order one
            format wider while they fit), `random` (by the recipe's seed), `kl`
            (widen the most sensitive layer first, as the paper's baseline), `knapsack` (least sum
            of sensitivities, exactly), `dmx` (learned offsets), or `manual` (the pins say it all).
        budget: bits, counted as `objective` says; None for `manual`.
        formats: what may be assigned.
        objective: how bits are counted; see this module.
        weighting: every weight or feature counts once (`size`), or every layer does (`layers`).
        shared: a layer's inputs take the width of its weights; False leaves all inputs at the
            activations' own format.
        fused: q, k and v share a format, gate and up too, as servers that fuse them need.
        pins: layers whose format is given.
        probe: the text behind sensitivities, for `kl`, `knapsack` and predictions.
        training: of `dmx`.
    """

    method: Method = "knapsack"
    budget: float | None = 5.0
    formats: tuple[str, ...] = ("mxfp4", "mxfp6_e2m3", "mxfp8_e4m3")
    objective: Literal["weights", "both", "bytes"] = "weights"
    weighting: Literal["size", "layers"] = "size"
    shared: bool = True
    fused: bool = True
    pins: tuple[Pin, ...] = ()
    probe: Probe = field(default_factory=Probe)
    training: Training = field(default_factory=Training)

    def __post_init__(self):
        formats = [named(name) for name in self.formats]
        require(
            len(formats) >= 1 and len(set(self.formats)) == len(self.formats),
            f"the formats {', '.join(self.formats) or '(none)'} are not distinct choices",
            "name every format once, and at least one",
        )
        require(
            len({fmt.kind for fmt in formats}) == 1 and all(fmt.symmetric for fmt in formats),
            f"{', '.join(self.formats)} do not go together",
            "choose MX formats alone, or symmetric integers alone",
        )
        require(
            len({fmt.bits for fmt in formats}) == len(formats),
            f"two of {', '.join(self.formats)} have the same width",
            "choose formats of different widths",
        )
        require(
            (self.budget is None) == (self.method == "manual"),
            "a manual assignment has no budget"
            if self.method == "manual"
            else f"{self.method} needs a budget",
            'set budget to null for "manual", to bits otherwise',
        )
        self._check_budget([fmt.bits for fmt in formats])
        self._check_pins()

    def _check_budget(self, bits: list[int]) -> None:
        if self.budget is None or self.objective == "bytes":  # scales depend on the layers' widths
            return
        low, high = min(bits), max(bits)
        require(
            low <= self.budget <= high,
            f"a budget of {self.budget:g} bits lies outside {low} to {high}, the narrowest and the "
            "widest format allowed",
            f"choose {low} to {high}, or allow other formats",
        )

    def _check_pins(self) -> None:
        seen: dict[str, str] = {}
        for pin in self.pins:
            require(
                pin.format in self.formats,
                f"{pin.layer} is pinned to {pin.format}, which is not among the formats allowed",
                f"choose {', '.join(self.formats)}",
            )
            before = seen.setdefault(pin.layer, pin.format)
            require(
                before == pin.format,
                f"{pin.layer} is pinned to {before} and to {pin.format}",
                "keep one of the two pins",
            )

    @property
    def narrow_to_wide(self) -> tuple[str, ...]:
        """The formats by their bits."""
        return tuple(sorted(self.formats, key=lambda name: FORMATS[name].bits))

    @property
    def needs_sensitivity(self) -> bool:
        """Whether the method looks at what each layer's format costs."""
        return self.method in ("kl", "knapsack")
