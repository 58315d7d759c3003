"""Statistics over tokens made by hand."""

from __future__ import annotations

from qcore.report.tokens import QUANTILES, Estimate, TokenStatistics

STATISTICS = TokenStatistics(
    tokens=100,
    kl=Estimate(0.05, 0.001),
    kl_quantiles={f"{q:g}": q for q in QUANTILES},
    kl_least=-1e-8,
    kl_most=2.5,
    delta_p=Estimate(-0.01, 0.002),
    delta_p_rms=Estimate(0.08, 0.003),
    delta_p_quantiles={f"{q:g}": q for q in QUANTILES},
    delta_p_least=-0.9,
    delta_p_most=0.4,
    same_top=Estimate(0.9, 0.03),
    perplexity=Estimate(41.2, 1.1),
    float_perplexity=Estimate(36.0, 0.9),
    log_ratio=Estimate(0.135, 0.004),
    correlation=0.987,
)
