"""The model as it is served. It travels with the model: it imports nothing of this repository."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

MODEL_FILE = "model.txt"


@dataclass(frozen=True)
class Predictor:
    """A loaded model. Stateless and thread-safe."""

    features: tuple[str, ...]
    digest: str
    model: lightgbm.Booster

    def predict(self, inputs: Any) -> np.ndarray:
        """Probabilities of an eight (n,), of an (n, f) array or columns by name. Raises
        ValueError for a feature that is missing or no number."""
        return np.asarray(self.model.predict(self._matrix(inputs), num_threads=1), np.float64)

    def _matrix(self, inputs: Any) -> np.ndarray:
        if isinstance(inputs, np.ndarray):
            return np.atleast_2d(inputs).astype(np.float64)
        names = getattr(inputs, "column_names", None) or getattr(inputs, "columns", inputs)
        missing = [name for name in self.features if name not in names]
        if missing:
            raise ValueError(f"missing feature {missing[0]!r}")
        columns = [np.atleast_1d(np.asarray(inputs[name], np.float64)) for name in self.features]
        return np.column_stack(columns)


def save(model: lightgbm.Booster, out_dir: str | Path) -> str:
    """Write the model as LightGBM's text, without pickle; its digest."""
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    model.save_model(str(Path(out_dir) / MODEL_FILE))
    return digest_of(out_dir)


def load(model_dir: str | Path) -> Predictor:
    """What ``save`` wrote. The text names the features."""
    model = lightgbm.Booster(model_file=str(Path(model_dir) / MODEL_FILE))
    return Predictor(tuple(model.feature_name()), digest_of(model_dir), model)


def digest_of(model_dir: str | Path) -> str:
    """``sha256:…`` of the model's file: what an approval binds."""
    return "sha256:" + hashlib.sha256((Path(model_dir) / MODEL_FILE).read_bytes()).hexdigest()
