"""Score the golden rows beside the baselines and the champion."""

from __future__ import annotations

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


def slices(golden: judge.Rows) -> np.ndarray:
    """By ink: how much of it an image has, against the median of the golden images."""
    return judge.halves(golden.x.sum(1), "light", "heavy")


evaluate = judge.Judge(
    predict.load,
    LOSS,
    losses.losses,
    baselines,
    metrics={
        "accuracy": metrics.accuracy,
        "auroc": metrics.auroc,
        "calibration_error": metrics.calibration_error,
    },
    intervals=("accuracy", "auroc"),
    slices=slices,
).evaluate
