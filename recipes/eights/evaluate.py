"""Score the golden rows beside the baselines and the champion."""

from __future__ import annotations

import numpy as np

from recipes.common import judge, metrics
from recipes.eights import losses, predict
from recipes.eights.recipe import LOSS


def baselines(seen: judge.Rows, golden: judge.Rows) -> dict[str, np.ndarray]:
    """What a model has to beat."""
    return {"base_rate": np.full(len(golden.label), seen.label.mean())}


def slices(golden: judge.Rows) -> np.ndarray:
    """By ink: how much of it an image has, against the median of the golden images."""
    return judge.halves(golden.x.sum(1), "light", "heavy")


evaluate = judge.Judge(
    predict.load,
    LOSS,
    losses.losses,
    baselines,
    metrics={
        "average_precision": metrics.average_precision,
        "auroc": metrics.auroc,
        "calibration_error": metrics.calibration_error,
    },
    intervals=("auroc",),
    slices=slices,
).evaluate
