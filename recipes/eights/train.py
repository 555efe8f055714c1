"""Training with LightGBM: what one trial tries, and the fit of the model that is evaluated.

One image in ten is an eight. The log loss is not weighted: weights would move the probabilities,
which have to be those of the world for a threshold to mean anything. What imbalance costs shows in
the slices and in the average precision.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np

from recipes.common import metrics, trial_main
from recipes.common.judge import Rows
from recipes.eights import predict
from recipes.eights.recipe import FEATURES

ROUNDS = 120


def booster(params: Mapping[str, Any], x: np.ndarray, label: np.ndarray, seed: int = 0) -> Any:
    """A fitted model; Katib passes every value as text."""
    chosen = {
        "objective": "binary",
        "learning_rate": float(params.get("learning_rate", 0.1)),
        "num_leaves": int(float(params.get("max_leaf_nodes", 15))),
        "seed": seed,
        "deterministic": True,
        "num_threads": 1,
        "verbose": -1,
    }
    data = lightgbm.Dataset(x, label, feature_name=list(FEATURES))
    return lightgbm.train(chosen, data, num_boost_round=ROUNDS)


def trial(params: Mapping[str, Any], rows_path: str, report: Any = None) -> dict[str, float]:
    """One Katib trial: fit on the training rows, score on the validation rows."""
    train = Rows.read(rows_path, FEATURES, "train")
    held_out = Rows.read(rows_path, FEATURES, "validation")
    model = booster(params, train.x, train.label)
    loss = metrics.log_loss(np.asarray(model.predict(held_out.x)), held_out.label)
    return {"val_loss": float(loss.mean())}


def fit(
    rows_path: str, params: Mapping[str, Any], out_dir: str, *, seed: int = 0
) -> dict[str, Any]:
    """Fit the model that will be evaluated, on training and validation rows."""
    seen = Rows.read(rows_path, FEATURES, "train", "validation")
    digest = predict.save(booster(params, seen.x, seen.label, seed), out_dir)
    return {"model_digest": digest, "summary": f"{ROUNDS} trees on {len(seen.x)} rows"}


if __name__ == "__main__":
    sys.exit(trial_main.main(trial))
