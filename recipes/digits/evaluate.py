"""Score the golden rows beside the baselines and the champion."""

from __future__ import annotations

from typing import Any

import numpy as np

from recipes.common import judge, metrics
from recipes.digits import losses, predict
from recipes.digits.recipe import LOSS


def baselines(seen: judge.Rows, golden: judge.Rows) -> dict[str, np.ndarray]:
    """What a model has to beat: the base rate, and the pixels weighed one by one."""
    from sklearn.linear_model import LogisticRegression

    linear = LogisticRegression(C=0.01, max_iter=1000).fit(seen.x, seen.label)
    return {
        "base_rate": np.full(len(golden.label), seen.label.mean()),
        "logistic": linear.predict_proba(golden.x)[:, 1],
    }


def figures(prediction: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Further metrics beside the mean loss."""
    return {
        "accuracy": metrics.accuracy(prediction, label),
        "auroc": metrics.auroc(prediction, label),
        "calibration_error": metrics.calibration_error(prediction, label),
    }


def intervals(prediction: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Of accuracy and AUROC, beside that of the loss."""
    found = {
        "accuracy": metrics.interval(metrics.accuracy, prediction, label),
        "auroc": metrics.interval(metrics.auroc, prediction, label),
    }
    return {"intervals": found}


def slices(golden: judge.Rows) -> np.ndarray:
    """By ink: how much of it an image has, against the median of the golden images."""
    ink = golden.x.sum(1)
    return np.where(ink > np.median(ink), "heavy", "light")


JUDGE = judge.Judge(
    predict.load,
    LOSS,
    losses.losses,
    baselines,
    figures,
    slices=slices,
    more=intervals,
)
evaluate = JUDGE.evaluate
