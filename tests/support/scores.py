"""Columns of an ``errors.parquet``."""

from __future__ import annotations

import numpy as np


def errors(noise: float = 0.0, seed: int = 0, shift: float = 0.0) -> dict[str, np.ndarray]:
    """Twelve weeks of twenty repositories; ``noise`` is the model's own, ``shift`` its bias."""
    rng = np.random.default_rng(9)
    weeks, repos = 12, 20
    label = rng.poisson(20, weeks * repos).astype(float)
    own = np.random.default_rng(seed)
    repo = np.array([f"r{i % repos}" for i in range(weeks * repos)], dtype=object)
    week = np.repeat(
        np.arange(weeks) * np.timedelta64(7, "D") + np.datetime64("2026-01-05"), repos
    ).astype(str)
    prediction = (
        label + rng.normal(0, 5, weeks * repos) + own.normal(0, noise, weeks * repos) + shift
    )
    return {
        "row": repo + "@" + week.astype(object),
        "slice": np.array(["steady"] * (weeks * repos), dtype=object),
        "judged": np.ones(weeks * repos, bool),
        "label": label,
        "prediction": prediction,
        "loss": np.abs(prediction - label) / 4.0,
        "cluster:week": week,
        "cluster:repository": repo,
    }
