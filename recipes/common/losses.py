"""Losses by row, as a recipe's ``losses.py`` gives them to gate and canary (contract.Losses)."""

from __future__ import annotations

import numpy as np

from recipes.common import metrics


def log_loss(prediction: np.ndarray, label: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """-log of the probability given to what came true, in nats (n,)."""
    return metrics.log_loss(prediction, label)


def absolute_error(prediction: np.ndarray, label: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """|prediction - label| in the label's unit (n,)."""
    return np.abs(prediction - label)
