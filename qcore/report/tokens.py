"""A run's tokens against the float network's, in the numbers that people paste into issues.

`block` prints them as llama.cpp's perplexity tool prints its comparison with a KL base, so that
they can stand beside numbers that were measured there. Its standard errors take tokens as
independent; so do these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

QUANTILES = (0.001, 0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 0.999)
"""Shares whose quantiles of KL and of Δp are kept."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over tokens and its standard error, which takes tokens as independent."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """A run's tokens against the float network's.

    Attributes:
        tokens: how many.
        kl: mean KL, nats per token.
        kl_quantiles: share → KL below which that share of tokens lies.
        kl_least: the smallest KL; rounding leaves some −1e-8.
        kl_most: the largest.
        delta_p: mean change of the text's token's probability.
        delta_p_rms: root of the mean squared change.
        delta_p_quantiles: share → change below which that share of tokens lies.
        delta_p_least: the largest fall.
        delta_p_most: the largest rise.
        same_top: share of tokens with the same most likely token.
        perplexity: of the run.
        float_perplexity: of the float network on the same tokens.
        log_ratio: ln(PPL(run) / PPL(float)), nats per token.
        correlation: of both networks' losses over tokens; NaN where one does not vary.
    """

    tokens: int
    kl: Estimate
    kl_quantiles: dict[str, float]
    kl_least: float
    kl_most: float
    delta_p: Estimate
    delta_p_rms: Estimate
    delta_p_quantiles: dict[str, float]
    delta_p_least: float
    delta_p_most: float
    same_top: Estimate
    perplexity: Estimate
    float_perplexity: Estimate
    log_ratio: Estimate
    correlation: float | None


def block(found: TokenStatistics) -> str:
    """The statistics as text, in llama.cpp's words and order."""
    ppl, base, ratio = found.perplexity, found.float_perplexity, found.log_ratio
    correlation = "–" if found.correlation is None else f"{100 * found.correlation:.2f}%"
    lines = [
        "====== Perplexity statistics ======",
        f"Mean PPL(Q)                   : {_estimate(ppl)}",
        f"Mean PPL(base)                : {_estimate(base)}",
        f"Cor(ln(PPL(Q)), ln(PPL(base))): {correlation:>10}",
        f"Mean ln(PPL(Q)/PPL(base))     : {_estimate(ratio)}",
        "",
        "====== KL divergence statistics ======",
        f"Mean    KLD: {_estimate(found.kl)}",
        f"Maximum KLD: {found.kl_most:10.6f}",
        *(f"{_share(q)} KLD: {found.kl_quantiles[f'{q:g}']:10.6f}" for q in reversed(QUANTILES)),
        f"Minimum KLD: {found.kl_least:10.6f}",
        "",
        "====== Token probability statistics ======",
        f"Mean    Δp: {_percent(found.delta_p)}",
        f"Maximum Δp: {100 * found.delta_p_most:7.3f}%",
        *(
            f"{_share(q)} Δp: {100 * found.delta_p_quantiles[f'{q:g}']:7.3f}%"
            for q in QUANTILES[::-1]
        ),
        f"Minimum Δp: {100 * found.delta_p_least:7.3f}%",
        f"RMS Δp    : {_percent(found.delta_p_rms)}",
        f"Same top p: {_percent(found.same_top)}",
    ]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Line:
    """One statistic as text: its name, its value and standard error in the same unit, the unit."""

    name: str
    value: str
    error: str
    unit: str


def lines(found: TokenStatistics) -> list[Line]:
    """The statistics that runs are compared by, rounded for people."""
    nats, kl = "nats/token", found.kl_quantiles
    correlation = "–" if found.correlation is None else f"{100 * found.correlation:.2f}"
    return [
        _line("KL mean", found.kl, nats),
        Line("KL median", _rounded(kl["0.5"]), "", nats),
        Line("KL 90 %", _rounded(kl["0.9"]), "", nats),
        Line("KL 99 %", _rounded(kl["0.99"]), "", nats),
        Line("KL 99.9 %", _rounded(kl["0.999"]), "", nats),
        Line("KL maximum", _rounded(found.kl_most), "", nats),
        _line("Δp mean", found.delta_p, "%", 100),
        _line("RMS Δp", found.delta_p_rms, "%", 100),
        _line("Same top token", found.same_top, "%", 100),
        _line("ln(PPL(Q)/PPL(base))", found.log_ratio, nats),
        Line("Correlation of losses", correlation, "", "%"),
    ]


def kl_table(
    runs: Sequence[tuple[str, float, TokenStatistics]],
) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the table that quantizations are published with, a row a run.

    Args:
        runs: what to call it, its bits per weight, its statistics.
    """
    headers = ["Run", "Bits per weight", "KL median", "KL 99 %", "Top tokens differ"]
    rows = [
        [
            name,
            f"{bits:.2f}",
            f"{found.kl_quantiles['0.5']:.4f}",
            f"{found.kl_quantiles['0.99']:.4f}",
            f"{1 - found.same_top.value:.4f}",
            f"{found.log_ratio.value:.4f}",
        ]
        for name, bits, found in runs
    ]
    return [*headers, "ln(PPL(Q)/PPL(base))"], rows


def _line(name: str, found: Estimate, unit: str, scale: float = 1.0) -> Line:
    return Line(name, _rounded(scale * found.value), _rounded(scale * found.error, 2), unit)


def _rounded(value: float, digits: int = 4) -> str:
    """That many significant digits, never in powers of ten."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 8)}f}".replace("-", "−")


def _share(quantile: float) -> str:
    return "Median " if quantile == 0.5 else f"{100 * quantile:4.1f}%  "


def _estimate(found: Estimate) -> str:
    return f"{found.value:10.6f} ± {found.error:10.6f}"


def _percent(found: Estimate) -> str:
    return f"{100 * found.value:7.3f} ± {100 * found.error:6.3f} %"
