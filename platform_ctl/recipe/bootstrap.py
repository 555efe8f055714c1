"""Intervals for a ratio of means whose rows are correlated.

Rows of one cluster (a day, a patient) share what no model can know. Whole clusters
are resampled (Efron and Tibshirani 1993, ch. 8), by each kind there is, and the wider
interval counts. Independent rows are put into random groups. With G clusters the percentile
interval is too narrow by sqrt((G-1)/G) and by normal instead of t quantiles;
both are corrected for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

RESAMPLES = 2000
MIN_CLUSTERS = 5
"""Fewer clusters of a kind give no interval of that kind."""
MOST_GROUPS = 200
"""Independent rows are resampled in at most so many groups: more would change the bounds by less
than the resampling does."""


@dataclass(frozen=True)
class Estimate:
    """A ratio with one-sided bounds, each at ``confidence``."""

    point: float
    low: float
    high: float
    clusters: int
    """Of the first kind."""
    confidence: float

    def as_dict(self) -> dict[str, float | int]:
        return asdict(self)


def ratio(
    numerator: np.ndarray,
    denominator: np.ndarray,
    clusters: Sequence[np.ndarray],
    confidence: float,
) -> Estimate:
    """sum(numerator) / sum(denominator) of paired rows (n,), both >= 0, with bounds.

    ``clusters``: label arrays (n,), one for each kind; none: rows are independent. The same input
    gives the same numbers. Without enough clusters of any kind the bounds are 0 and infinity.
    """
    clusters = clusters or [independent(len(numerator))]
    point = _divide(numerator.sum(), denominator.sum())
    bounds = [
        _bounds(numerator, denominator, labels, point, confidence)
        for labels in clusters
        if len(np.unique(labels)) >= MIN_CLUSTERS
    ]
    count = len(np.unique(clusters[0]))
    if not bounds or not 0 < point < math.inf:
        return Estimate(point, 0.0, math.inf, count, confidence)
    low, high = min(b[0] for b in bounds), max(b[1] for b in bounds)
    return Estimate(point, low, high, count, confidence)


def independent(rows: int) -> np.ndarray:
    """Labels (n,) of random groups of independent rows."""
    return np.random.default_rng(0).permutation(rows) % MOST_GROUPS


def _bounds(
    numerator: np.ndarray,
    denominator: np.ndarray,
    labels: np.ndarray,
    point: float,
    confidence: float,
) -> tuple[float, float]:
    names, index = np.unique(labels, return_inverse=True)
    groups = len(names)
    above, below = (np.bincount(index, v, minlength=groups) for v in (numerator, denominator))
    times = _resampled(groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(times @ above) - np.log(times @ below) - math.log(point)
    logs = logs[np.isfinite(logs)]
    if not len(logs):
        return 0.0, math.inf
    tail = 100 * (1 - confidence)
    low, high = np.percentile(logs, [tail, 100 - tail]) * _small_sample(groups, confidence)
    return point * math.exp(min(low, 0.0)), point * math.exp(max(high, 0.0))


@lru_cache(maxsize=32)
def _resampled(groups: int) -> np.ndarray:
    """How often each cluster was drawn: (RESAMPLES, groups)."""
    rng = np.random.default_rng(0)
    return rng.multinomial(groups, np.full(groups, 1 / groups), RESAMPLES).astype(np.float64)


def _small_sample(groups: int, confidence: float) -> float:
    """Widening for few clusters: t over normal quantile (Cornish-Fisher), times sqrt(G/(G-1))."""
    z = NormalDist().inv_cdf(confidence)
    return (1 + (z * z + 1) / (4 * (groups - 1))) * math.sqrt(groups / (groups - 1))


def _divide(numerator: float, denominator: float) -> float:
    if denominator > 0:
        return float(numerator / denominator)
    return 1.0 if numerator == 0 else math.inf
