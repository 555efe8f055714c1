"""How far the features of two runs' training rows are apart, feature by feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

BINS = 10
NOTABLE = 0.1
"""Below it a population is commonly called stable, from 0.25 on it has shifted (Siddiqi 2006)."""
LARGE = 0.25
ERROR_RATE = 0.01
"""Chance that any feature at all is called drifted between samples of one population."""


@dataclass(frozen=True)
class Drift:
    """``psi``: population stability index over the old rows' deciles; ``ks``: the largest
    distance of the two distribution functions. ``notable``: large enough to matter, and more
    than samples of these sizes differ by chance."""

    feature: str
    psi: float
    ks: float
    median_then: float
    median_now: float
    notable: bool


def drift(then: Mapping[str, np.ndarray], now: Mapping[str, np.ndarray]) -> tuple[Drift, ...]:
    """Features that both have, the furthest apart first. Values that are not finite are left out.

    Of samples of one population, psi / (1/n + 1/m) is chi-squared with one degree of freedom
    less than there are bins (Yurdakul and Naranjo 2020); the error rate is shared by the features.
    """
    from scipy.stats import chi2, ks_2samp

    names = sorted(then.keys() & now.keys())
    drifts = []
    for name in names:
        a, b = (np.asarray(x[name], float) for x in (then, now))
        a, b = a[np.isfinite(a)], b[np.isfinite(b)]
        if not len(a) or not len(b):
            continue
        psi, bins = _psi(a, b)
        chance = chi2.isf(ERROR_RATE / len(names), max(1, bins - 1)) * (1 / len(a) + 1 / len(b))
        ks = float(ks_2samp(a, b, method="asymp").statistic)
        medians = float(np.median(a)), float(np.median(b))
        drifts.append(Drift(name, psi, ks, *medians, notable=psi >= max(NOTABLE, chance)))
    return tuple(sorted(drifts, key=lambda d: (-d.psi, -d.ks, d.feature)))


def _psi(then: np.ndarray, now: np.ndarray) -> tuple[float, int]:
    """The index and its number of bins; half a row is added to each bin, so that none is empty."""
    inner = np.unique(np.quantile(then, np.linspace(0, 1, BINS + 1)[1:-1]))
    # Right-closed bins: a value that many rows share has a bin of its own.
    shares = []
    for values in (then, now):
        counts = np.bincount(np.searchsorted(inner, values, side="left"), minlength=len(inner) + 1)
        shares.append((counts + 0.5) / (len(values) + 0.5 * len(counts)))
    p, q = shares
    return float(((q - p) * np.log(q / p)).sum()), len(p)
