"""Predicted quality of an assignment, from its layers' sensitivities and the runs measured so far.

If layers' errors did not meet, the divergence of a network would be the sum S of its layers' own.
They do meet, the evaluation text is not the probe text, and error feedback rounds better than to
nearest; what remains is close to a power law, which one straight line fits:

    log D = a + b · log(S / 0.1) + ε,    ε ~ N(0, σ²)

D is what was measured: a divergence, or an increase in loss. Before any run a is near log 0.1
(D = S at 0.1 nats per token), b near 1, and σ near a quarter; each run moves them, and all three
stay uncertain. With a normal–inverse-gamma prior the posterior is closed and predictions are
Student's t, so the band knows how many runs it rests on, how well they fit, and how far from them
the prediction lies (Gelman et al., Bayesian Data Analysis, §14).

Calibrate on runs that differ in their assignment alone: rounding and rotations move a and b.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy.special import stdtrit

from qcore.errors import NumericalError
from qcore.precision.table import Measure

PIVOT = 0.1
"""The sum at which the line's height is the offset: nats per token."""

NOISE = 1e-6
"""Sums and measurements up to this are taken for rounding: they say nothing of proportions."""

LEAST_SLOPE = 0.25
"""More damage to the layers never predicts less to the network, whatever a few runs say."""

COVERAGE = 0.95
"""Probability that a band is meant to hold."""


@dataclass(frozen=True, slots=True)
class Prior:
    """The prior before any run, as standard deviations.

    Attributes:
        offset: of a, in nats of log D: log 2 is a factor of two.
        slope: of b around 1.
        scatter: σ that the prior is centred on.
        weight: how many runs the belief in σ is worth.
    """

    offset: float = math.log(2)
    slope: float = 0.15
    scatter: float = 0.25
    weight: float = 4.0


PRIORS: dict[Measure, Prior] = {
    "kl": Prior(),
    "loss": Prior(),
    # A sum of relative output errors is no divergence: its scale is learned from runs alone.
    "proxy": Prior(offset=math.log(1000)),
}
"""By what the sums are sums of."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted quality of an assignment, in the unit of the measured runs.

    Attributes:
        value: the median.
        low: lower end of the 95 % band for one new run.
        high: upper end.
        runs: how many runs it rests on.
    """

    value: float
    low: float
    high: float
    runs: int

    def perplexity(self, plain: float) -> Prediction:
        """The same as a perplexity, for a prediction of the increase in loss.

        Args:
            plain: the float network's perplexity.
        """
        value, low, high = (
            plain * math.exp(min(increase, 700.0)) for increase in (self.value, self.low, self.high)
        )
        return Prediction(value, low, high, self.runs)


@dataclass(frozen=True, slots=True)
class CalibratedLine:
    """The line of log increase over log sensitivity, as the posterior of its prior.

    Attributes:
        offset: mean of a.
        slope: mean of b.
        covariance: of (a, b) in units of `scatter`²: (aa, ab, bb).
        scatter: σ.
        degrees: of Student's t.
        runs: how many runs were used.
    """

    offset: float
    slope: float
    covariance: tuple[float, float, float]
    scatter: float
    degrees: float
    runs: int

    def predict(self, total: float) -> Prediction:
        """Predict from a sum of sensitivities; one at or below `NOISE` counts as that much."""
        x = math.log(max(total, NOISE) / PIVOT)
        aa, ab, bb = self.covariance
        spread = self.scatter * math.sqrt(1 + aa + 2 * ab * x + bb * x * x)
        middle, reach = (
            self.offset + self.slope * x,
            float(stdtrit(self.degrees, (1 + COVERAGE) / 2)) * spread,
        )
        return Prediction(
            math.exp(middle), math.exp(middle - reach), math.exp(middle + reach), self.runs
        )


def calibrate(runs: Iterable[tuple[float, float]], prior: Prior | None = None) -> CalibratedLine:
    """Learn the line from measured runs.

    Args:
        runs: for each, the sum of its layers' sensitivities and what was measured, in nats per
            token. Pairs in which one of them is at or below `NOISE` are left out: an increase in
            loss may be negative by chance, and then has no logarithm.
        prior: what is believed before; the one for sums of divergences by default.

    Raises:
        NumericalError: a pair that is not finite.
    """
    prior = prior or PRIORS["kl"]
    points = []
    for total, measured in runs:
        if not (math.isfinite(total) and math.isfinite(measured)):
            raise NumericalError(
                f"a run with a sum of {total} and a measurement of {measured} calibrates nothing",
                remedy="leave runs out that did not give finite numbers",
            )
        if total > NOISE and measured > NOISE:
            points.append((math.log(total / PIVOT), math.log(measured)))
    return _posterior(points, prior)


def _posterior(points: list[tuple[float, float]], prior: Prior) -> CalibratedLine:
    """Conjugate update; precisions are in units of 1 / σ², as the prior's covariance is."""
    a, b = math.log(PIVOT), 1.0
    height, steepness = (prior.scatter / prior.offset) ** 2, (prior.scatter / prior.slope) ** 2
    # Residuals from the prior's line: the update is then a ridge regression towards zero.
    residuals = [(x, y - a - b * x) for x, y in points]
    n, sx = len(residuals), math.fsum(x for x, _ in residuals)
    sxx = math.fsum(x * x for x, _ in residuals)
    sr = math.fsum(r for _, r in residuals)
    sxr = math.fsum(x * r for x, r in residuals)
    determinant = (n + height) * (sxx + steepness) - sx * sx
    aa, ab, bb = (sxx + steepness) / determinant, -sx / determinant, (n + height) / determinant
    shift, tilt = aa * sr + ab * sxr, ab * sr + bb * sxr
    if b + tilt < LEAST_SLOPE:
        shift += ab / bb * (LEAST_SLOPE - b - tilt)
        tilt = LEAST_SLOPE - b
    missed = math.fsum((r - shift - tilt * x) ** 2 for x, r in residuals)
    missed += height * shift**2 + steepness * tilt**2
    degrees = prior.weight + n
    variance = (prior.weight * prior.scatter**2 + missed) / degrees
    return CalibratedLine(a + shift, b + tilt, (aa, ab, bb), math.sqrt(variance), degrees, n)
