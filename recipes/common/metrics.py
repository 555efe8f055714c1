"""Losses and figures of classifiers and regressions, by row and as means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

EPSILON = 1e-6
"""Probabilities are kept so far from 0 and 1: one confident miss costs 13.8 nats, not infinity."""
RESAMPLES = 1000
CONFIDENCE = 0.95


def log_loss(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """-log of the probability given to what came true, in nats (n,); labels are 0 or 1."""
    p = np.clip(probability, EPSILON, 1 - EPSILON)
    return -(label * np.log(p) + (1 - label) * np.log1p(-p))


def auroc(probability: np.ndarray, label: np.ndarray) -> float:
    """Area under the ROC curve (Mann-Whitney, ties count half); NaN with one class only."""
    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(probability, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    total = float(ranks[label == 1].sum()) - positives * (positives + 1) / 2
    return total / (positives * negatives)


def accuracy(probability: np.ndarray, label: np.ndarray) -> float:
    """Share of rows whose more probable class came true."""
    return float(((probability >= 0.5) == (label == 1)).mean())


def rmse(prediction: np.ndarray, label: np.ndarray) -> float:
    """Root of the mean squared error, in the label's unit."""
    return float(np.sqrt(((prediction - label) ** 2).mean()))


def interval(
    metric: Callable[[np.ndarray, np.ndarray], float], probability: np.ndarray, label: np.ndarray
) -> list[float] | None:
    """Percentile interval at CONFIDENCE of ``metric`` on resampled rows; None where it is not
    defined on most of them (too few rows of a class)."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(label), (RESAMPLES, len(label)))
    values = np.array([metric(probability[d], label[d]) for d in draws])
    values = values[np.isfinite(values)]
    if len(values) < RESAMPLES / 2:
        return None
    tail = 100 * (1 - CONFIDENCE) / 2
    return [float(v) for v in np.percentile(values, [tail, 100 - tail])]


def average_precision(probability: np.ndarray, label: np.ndarray) -> float:
    """Mean precision at the rank of each positive row; its share of rows where ranks mean nothing.
    Ties count in the order of the rows. NaN without a positive row."""
    if not label.sum():
        return float("nan")
    ordered = label[np.argsort(-probability, kind="stable")]
    precision = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    return float(precision[ordered == 1].mean())


def calibration_error(probability: np.ndarray, label: np.ndarray, bins: int = 10) -> float:
    """Mean |predicted - observed| over bins of equal size (Nixon et al. 2019, adaptive)."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [abs(probability[p].mean() - label[p].mean()) * len(p) for p in parts]
    return float(sum(gaps) / len(label))
