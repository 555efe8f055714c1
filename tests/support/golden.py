"""Golden rows with known truths: what evaluate.py writes, for models of a stated quality.

Weekly counts follow a wandering log level with overdispersed, bursty noise. A
forecaster is a smoothed level; ``skill`` 1 is the best smoother there is here, 0
is the last week's count, in between is a mixture. Retraining noise moves every
forecast a little, per repository and per row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

HISTORY = 60
GOLDEN_WEEKS = 12
RETRAINING_NOISE = 0.02


class GoldenSet:
    """One draw of repositories and weeks; ``evaluation`` scores forecasts on it."""

    def __init__(self, seed: int, *, repos: int = 10, weeks: int = GOLDEN_WEEKS) -> None:
        rng = np.random.default_rng(seed)
        self.repos, self.weeks = repos, weeks
        total = HISTORY + weeks
        level = np.zeros((repos, total))
        for week in range(1, total):
            level[:, week] = 0.9 * level[:, week - 1] + rng.normal(0, 0.25, repos)
        rate = np.exp(level + rng.uniform(0.5, 3.0, (repos, 1)))
        rate *= np.where(rng.random((repos, total)) < 0.04, 3.0, 1.0)
        self.counts = rng.poisson(rate * rng.gamma(3.0, 1 / 3.0, (repos, total))).astype(float)
        before = self.counts[:, :HISTORY]
        self.scale = np.maximum(np.abs(np.diff(before)).mean(1), 0.1)
        self.label = self.counts[:, HISTORY:]

    def _windows(self, length: int) -> np.ndarray:
        sums = np.cumsum(np.pad(self.counts, ((0, 0), (1, 0))), 1)
        asked = np.arange(HISTORY, HISTORY + self.weeks)
        return (sums[:, asked] - sums[:, asked - length]) / length

    def forecast(self, skill: float, *, seed: int | None = None) -> np.ndarray:
        """(repos, weeks) predictions; ``seed`` adds one retraining's noise."""
        smooth = 0.9 * (0.4 * self._windows(4) + 0.6 * self._windows(12))
        made = skill * smooth + (1 - skill) * self._windows(1)
        if seed is None:
            return made
        rng = np.random.default_rng(seed)
        noise = rng.normal(0, RETRAINING_NOISE, made.shape)
        return made * np.exp(noise + rng.normal(0, RETRAINING_NOISE, (self.repos, 1)))

    def mean_4w(self) -> np.ndarray:
        """The baseline of that name, (repos, weeks)."""
        return self._windows(4)

    def improved(self, prediction: np.ndarray, *, by: float, seed: int) -> np.ndarray:
        """Half the error of a random share of rows, so that the MASE falls by ``by``."""
        chosen = np.random.default_rng(seed).random(prediction.shape) < 2 * by
        return np.where(chosen, (prediction + self.label) / 2, prediction)

    def errors(
        self, prediction: np.ndarray, champion: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """The columns of errors.parquet."""
        monday = np.datetime64("2026-01-05", "us") + np.arange(self.weeks) * np.timedelta64(7, "D")
        means = self.counts[:, :HISTORY].mean(1)
        names = np.where(
            means < 3, "small", np.where(np.arange(self.repos) % 3, "steady", "bursty")
        )
        missing = np.full(self.label.shape, np.nan)
        label, scale = self.label.flatten(), np.repeat(self.scale, self.weeks)
        repos = np.repeat([f"org/r{i}" for i in range(self.repos)], self.weeks)
        weeks = np.tile(monday.astype("datetime64[D]").astype(str), self.repos)
        forecasts = {
            "loss": np.asarray(prediction, float),
            "champion_loss": missing if champion is None else champion,
            "loss:last_week": self._windows(1),
            "loss:mean_4w": self._windows(4),
        }
        return {
            "row": np.char.add(np.char.add(repos, "@"), weeks),
            "slice": np.repeat(names, self.weeks),
            "judged": np.ones(len(label), bool),
            "label": label,
            "prediction": np.asarray(prediction, float).flatten(),
            "champion_prediction": (missing if champion is None else champion).flatten(),
            "cluster:week": weeks,
            "cluster:repository": repos,
            **{n: np.abs(f.flatten() - label) / scale for n, f in forecasts.items()},
        }


def evaluation(errors: dict[str, np.ndarray]) -> dict[str, Any]:
    """evaluation.json for these errors, as far as the gate reads it."""

    def score(column: str) -> dict[str, float | None]:
        value = float(errors[column][errors["judged"]].mean())
        return {"mase": value if np.isfinite(value) else None}

    has_champion = np.isfinite(errors["champion_loss"]).any()
    return {
        "schema": 2,
        "loss": {"name": "mase", "title": "MASE", "unit": ""},
        "golden_digest": "sha256:" + "9" * 64,
        "model_digest": "sha256:" + "1" * 64,
        "metrics": score("loss"),
        "baselines": {"last_week": score("loss:last_week"), "mean_4w": score("loss:mean_4w")},
        "champion": score("champion_loss") if has_champion else None,
        "leak_check": {"ok": True, "findings": []},
    }
