"""The one transformation from features to a forecast, shared by evaluation and serving.

A numpy forward pass over ``model.safetensors`` and ``model.json``: importing
torch would cost a serving process 1.3 s and 200 MB for three small matrix
products (docs/decisions/0031-numpy-forward-pass.md). A test holds it to
within 1e-5 of the torch module that was trained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS_FILE = "model.safetensors"
SPEC_FILE = "model.json"
SCHEMA = 1
MAX_LOG_FORECAST = 12.0
"""Forecasts end at e^12, about 163,000 commits a week, so that no input overflows."""


@dataclass(frozen=True)
class Predictor:
    """A loaded model. Stateless and thread-safe."""

    features: tuple[str, ...]
    digest: str
    spec: Mapping[str, Any]
    weights: Mapping[str, np.ndarray]

    def predict(self, inputs: Any) -> np.ndarray:
        """Forecast commits in the next seven days: (n,) float64, >= 0.

        ``inputs``: a mapping of feature -> number or sequence of n numbers, a
        pandas or pyarrow table with those columns, or an (n, f) array in the
        order of ``features``. Raises ValueError naming the feature that is
        missing, of another length, or not a finite number.
        """
        return forward(self.spec, self.weights, as_matrix(inputs, self.features))


def load(model_dir: str | Path) -> Predictor:
    """Load what ``model.save`` wrote. Raises ValueError for a model of another schema."""
    from safetensors.numpy import load_file

    folder = Path(model_dir)
    spec = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
    if spec.get("schema") != SCHEMA:
        raise ValueError(f"{folder / SPEC_FILE} has schema {spec.get('schema')!r}, not {SCHEMA}")
    return Predictor(
        features=tuple(spec["features"]),
        digest=model_digest(folder),
        spec=spec,
        weights=load_file(folder / WEIGHTS_FILE),
    )


def model_digest(model_dir: str | Path) -> str:
    """``sha256:…`` over both files of a model: what an approval binds."""
    total = hashlib.sha256()
    for name in (SPEC_FILE, WEIGHTS_FILE):
        content = hashlib.sha256((Path(model_dir) / name).read_bytes()).hexdigest()
        total.update(f"{content}  {name}\n".encode())
    return f"sha256:{total.hexdigest()}"


def as_matrix(inputs: Any, features: Sequence[str]) -> np.ndarray:
    """Check ``inputs`` (see Predictor.predict) and return them as (n, f) float32."""
    if isinstance(inputs, np.ndarray):
        matrix = np.atleast_2d(inputs)
        if matrix.ndim != 2 or matrix.shape[1] != len(features):
            raise ValueError(f"expected shape (n, {len(features)}), got {inputs.shape}")
        columns = {name: matrix[:, i] for i, name in enumerate(features)}
    else:
        names = getattr(inputs, "column_names", None) or getattr(inputs, "columns", inputs)
        missing = [name for name in features if name not in names]
        if missing:
            raise ValueError(f"missing feature {missing[0]!r}")
        columns = {name: inputs[name] for name in features}
    vectors = {name: _as_vector(name, values) for name, values in columns.items()}
    lengths = {name: len(vector) for name, vector in vectors.items()}
    expected = next(iter(lengths.values()))
    for name, length in lengths.items():
        if length != expected:
            raise ValueError(f"feature {name!r} has {length} values where others have {expected}")
    return np.column_stack(list(vectors.values()))


def _as_vector(name: str, values: Any) -> np.ndarray:
    try:
        vector = np.atleast_1d(np.asarray(values)).astype(np.float32)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"feature {name!r} is not a number: {values!r:.80}") from exc
    if vector.ndim != 1:
        raise ValueError(f"feature {name!r} must be one number for each row, got {vector.shape}")
    if not np.isfinite(vector).all():
        raise ValueError(f"feature {name!r} has a value that is not a finite number")
    return vector


def scale(x: np.ndarray, is_log: np.ndarray) -> np.ndarray:
    """(n, f) raw features; log(1 + x) where ``is_log`` (f,) says that they are counts."""
    return np.where(is_log, np.log1p(np.maximum(x, 0)), x)


def forward(
    spec: Mapping[str, Any], weights: Mapping[str, np.ndarray], x: np.ndarray
) -> np.ndarray:
    """(n, f) raw features -> (n,) commits. Mirrors ``model.CommitsNet.forward``.

    Each of m members blends past levels in log space with weights that depend
    on the row, adds a bounded correction, and the members are averaged.
    """
    mean, std = (np.asarray(spec["normalisation"][k], np.float32) for k in ("mean", "std"))
    is_log = np.isin(spec["features"], spec["log_features"])
    z = np.clip((scale(x, is_log) - mean) / std, -spec["clip"], spec["clip"])
    hidden = np.maximum(np.einsum("nf,mfh->mnh", z, weights["w1"]) + weights["b1"][:, None], 0)
    hidden = np.maximum(hidden @ weights["w2"] + weights["b2"][:, None], 0)
    head = hidden @ weights["w3"] + weights["b3"][:, None]
    index = [spec["features"].index(name) for name in spec["levels"]]
    weeks = np.asarray(list(spec["levels"].values()), np.float32)
    levels = np.log1p(np.maximum(x[:, index], 0) / weeks)
    blend = _softmax(head[..., :-1])
    forecast = (blend * levels).sum(-1) + spec["max_correction"] * np.tanh(head[..., -1])
    return np.expm1(np.clip(forecast, 0, MAX_LOG_FORECAST)).mean(0).astype(np.float64)


def _softmax(x: np.ndarray) -> np.ndarray:
    shifted = np.exp(x - x.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)
