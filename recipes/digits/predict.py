"""The model as it is served. It travels with the model: it imports nothing of this repository.

The forward pass is numpy: a server starts without PyTorch (docs/decisions/0031). A test holds it to
within 1e-5 of the network that was trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MODEL_FILE = "model.safetensors"
NAMES = "features"
"""Key of the file's metadata: names of the pixels, by line."""
INK = 16.0
"""The darkest pixel."""


@dataclass(frozen=True)
class Predictor:
    """A loaded model. Stateless and thread-safe."""

    features: tuple[str, ...]
    digest: str
    weights: Mapping[str, np.ndarray]

    def predict(self, inputs: Any) -> np.ndarray:
        """Probabilities of an odd digit (n,), of an (n, f) array or columns by name. Raises
        ValueError for a feature that is missing or no number."""
        return 1 / (1 + np.exp(-forward(self.weights, self._matrix(inputs)).astype(np.float64)))

    def _matrix(self, inputs: Any) -> np.ndarray:
        if isinstance(inputs, np.ndarray):
            return np.atleast_2d(inputs).astype(np.float32)
        names = getattr(inputs, "column_names", None) or getattr(inputs, "columns", inputs)
        missing = [name for name in self.features if name not in names]
        if missing:
            raise ValueError(f"missing feature {missing[0]!r}")
        columns = [np.atleast_1d(np.asarray(inputs[name], np.float32)) for name in self.features]
        return np.column_stack(columns)


def load(model_dir: str | Path) -> Predictor:
    """Load what ``model.save`` wrote."""
    from safetensors import safe_open

    with safe_open(Path(model_dir) / MODEL_FILE, framework="numpy") as file:
        names = tuple(file.metadata()[NAMES].split())
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return Predictor(names, digest_of(model_dir), weights)


def forward(weights: Mapping[str, np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """(n, f) pixels of square images -> (n,) log-odds. Mirrors ``model.DigitNet.forward``."""
    side = round(pixels.shape[1] ** 0.5)
    images = pixels.reshape(-1, 1, side, side) / np.float32(INK)
    seen = _pooled(_convolved(images, weights, "conv1"))
    seen = _convolved(seen, weights, "conv2").reshape(len(pixels), -1)
    hidden = np.maximum(seen @ weights["dense.weight"].T + weights["dense.bias"], 0)
    return (hidden @ weights["out.weight"].T + weights["out.bias"])[:, 0]


def _convolved(images: np.ndarray, weights: Mapping[str, np.ndarray], layer: str) -> np.ndarray:
    """3 x 3 windows with a border of zeros, then ReLU: (n, c, h, w) -> (n, d, h, w)."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    found = np.einsum("nchwij,dcij->ndhw", windows, weights[f"{layer}.weight"], optimize=True)
    return np.maximum(found + weights[f"{layer}.bias"][:, None, None], 0)


def _pooled(images: np.ndarray) -> np.ndarray:
    """The largest of each 2 x 2 pixels."""
    n, channels, height, width = images.shape
    return images.reshape(n, channels, height // 2, 2, width // 2, 2).max((3, 5))


def digest_of(model_dir: str | Path) -> str:
    """``sha256:…`` of the model's file: what an approval binds."""
    return "sha256:" + hashlib.sha256((Path(model_dir) / MODEL_FILE).read_bytes()).hexdigest()
