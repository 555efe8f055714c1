"""The PyTorch model: a learned blend of past levels, plus a bounded correction.

Naive forecasts are hard to beat and easy to fall behind, so the network starts
from them: in log space it weighs past levels (means of trailing windows, their
median, the same week a year ago), with weights that depend on the row, and may
correct the result by at most ``MAX_CORRECTION``. A handful of members with
different initial weights live in one module and are averaged: it makes
retraining with another seed give almost the same model. ``predict.forward`` is
the same computation in numpy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recipes.train_deploy import predict

MEMBERS = 8
HIDDEN = 24
CLIP = 5.0
"""Normalised features end here: an outlier cannot drag a forecast along."""
MAX_CORRECTION = 1.0
"""In log space: a forecast stays within a factor e of the blend."""
LEVEL = re.compile(r"commits_(?P<sum>\d+)w|median_\d+w|commits_year_ago")
"""Features that say how many commits a week has had: sums over weeks, or already a level."""


def level_weeks(features: Sequence[str]) -> dict[str, int]:
    """Feature -> weeks it sums over, of the features that the model blends."""
    found = {name: LEVEL.fullmatch(name) for name in features}
    return {name: int(match["sum"] or 1) for name, match in found.items() if match}


class CommitsNet(torch.nn.Module):
    """(n, f) raw features -> (m, n) commits, one line for each of m members.

    Training sees forecasts below zero, so that a row with commits still pulls
    them up; ``predict.forward`` ends them at zero.
    """

    mean: torch.Tensor
    std: torch.Tensor
    is_log: torch.Tensor
    weeks: torch.Tensor
    w1: torch.Tensor
    w2: torch.Tensor
    w3: torch.Tensor
    b1: torch.Tensor
    b2: torch.Tensor
    b3: torch.Tensor

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        members, hidden = spec["architecture"]["members"], spec["architecture"]["hidden"]
        self.spec = spec
        self.level_index = [spec["features"].index(name) for name in spec["levels"]]
        self.register_buffer("mean", torch.tensor(spec["normalisation"]["mean"]), False)
        self.register_buffer("std", torch.tensor(spec["normalisation"]["std"]), False)
        weeks = torch.tensor([float(w) for w in spec["levels"].values()])
        is_log = [name in spec["log_features"] for name in spec["features"]]
        self.register_buffer("is_log", torch.tensor(is_log), False)
        self.register_buffer("weeks", weeks, False)
        sizes = [
            (len(spec["features"]), hidden),
            (hidden, hidden),
            (hidden, len(self.level_index) + 1),
        ]
        for layer, (inputs, outputs) in enumerate(sizes, start=1):
            bound = inputs**-0.5 if layer < len(sizes) else 0.01
            w = torch.empty(members, inputs, outputs).uniform_(-bound, bound)
            self.register_parameter(f"w{layer}", torch.nn.Parameter(w))
            self.register_parameter(f"b{layer}", torch.nn.Parameter(torch.zeros(members, outputs)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        clip = self.spec["clip"]
        scaled = torch.where(self.is_log, torch.log1p(x.clamp(min=0)), x)
        z = ((scaled - self.mean) / self.std).clamp(-clip, clip)
        hidden = torch.relu(torch.einsum("nf,mfh->mnh", z, self.w1) + self.b1[:, None])
        hidden = torch.relu(torch.baddbmm(self.b2[:, None], hidden, self.w2))
        head = torch.baddbmm(self.b3[:, None], hidden, self.w3)
        levels = torch.log1p(x[:, self.level_index].clamp(min=0) / self.weeks)
        blend = torch.softmax(head[..., :-1], -1)
        correction = self.spec["max_correction"] * torch.tanh(head[..., -1])
        forecast = (blend * levels).sum(-1) + correction
        return torch.expm1(forecast.clamp(max=predict.MAX_LOG_FORECAST))


def make_spec(
    features: Sequence[str],
    log_features: Collection[str],
    train: np.ndarray,
    training: dict[str, Any],
) -> dict[str, Any]:
    """What model.json says: features, normalisation from the training rows, architecture.

    ``log_features``: counts, seen as log(1 + x). ``train``: (n, f) raw training
    features. ``training``: how the model came to be. Raises ValueError when no
    feature is a level to blend, or a value is not finite.
    """
    levels = level_weeks(features)
    if not levels:
        raise ValueError("no feature like commits_4w: the model has no level to blend")
    is_log = np.array([name in log_features for name in features])
    scaled = predict.scale(predict.as_matrix(train, features), is_log).astype(np.float64)
    std = scaled.std(0)
    return {
        "schema": predict.SCHEMA,
        "target": "commits in the seven days from week_start on",
        "features": list(features),
        "log_features": [name for name in features if name in log_features],
        "levels": levels,
        "normalisation": {
            "mean": [round(float(v), 6) for v in scaled.mean(0)],
            "std": [round(float(v), 6) if v > 1e-6 else 1.0 for v in std],
        },
        "clip": CLIP,
        "max_correction": MAX_CORRECTION,
        "architecture": {"members": MEMBERS, "hidden": HIDDEN},
        "training": training,
        "versions": {name: version(name) for name in ("torch", "safetensors", "numpy")},
    }


def build(spec: dict[str, Any], seed: int) -> CommitsNet:
    """A network with fresh weights; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CommitsNet(spec)


def save(net: CommitsNet, out_dir: str | Path) -> str:
    """Write model.safetensors and model.json, byte for byte the same for the same model.

    Returns the model's digest.
    """
    from safetensors.torch import save_file

    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: p.detach().cpu().contiguous() for name, p in net.named_parameters()}
    save_file(weights, folder / predict.WEIGHTS_FILE)
    text = json.dumps(net.spec, indent=1, sort_keys=False, allow_nan=False)
    (folder / predict.SPEC_FILE).write_text(text + "\n", encoding="utf-8")
    return predict.model_digest(folder)
