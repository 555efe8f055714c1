"""A real model of the train_deploy recipe without training: an untrained net, saved and evaluated.

Its output layer starts near zero, so that it forecasts an even blend of the
window means: a fair forecast, good enough to be registered and served.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from platform_ctl.domain.gate import GateDecision
from platform_ctl.domain.recipe import Recipe
from platform_ctl.domain.verdict import Verdict
from recipes.train_deploy import evaluate, predict
from recipes.train_deploy.recipe import RECIPE
from tests.support.rows import write_rows

FEATURES = ("commits_1w", "commits_4w", "commits_12w", "commits_26w", "age")
PASSED = GateDecision(Verdict.SUCCESSFUL, ("The model is 10 % better.",), {})


def write_model(folder: Path, *, seed: int = 0, hidden: int = 4) -> Path:
    """model.json and model.safetensors; another seed gives another digest."""
    folder.mkdir(parents=True, exist_ok=True)
    windows = {name: int(name[8:-1]) for name in FEATURES if name.startswith("commits_")}
    sizes = [(len(FEATURES), hidden), (hidden, hidden), (hidden, len(windows) + 1)]
    rng = np.random.default_rng(seed)
    weights = {}
    for layer, (inputs, outputs) in enumerate(sizes, start=1):
        scale = 0.01 if layer == len(sizes) else inputs**-0.5
        weights[f"w{layer}"] = rng.normal(0, scale, (2, inputs, outputs)).astype(np.float32)
        weights[f"b{layer}"] = np.zeros((2, outputs), np.float32)
    save_file(weights, folder / predict.WEIGHTS_FILE)
    spec = {
        "schema": predict.SCHEMA,
        "features": list(FEATURES),
        "windows": windows,
        "normalisation": {"mean": [2.0] * len(FEATURES), "std": [1.5] * len(FEATURES)},
        "clip": 5.0,
        "max_correction": 1.0,
        "training": {"newest_row": "2021-01-04", "seed": seed},
    }
    (folder / predict.SPEC_FILE).write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")
    return folder


def write_candidate(
    folder: Path, *, seed: int = 0, champion: Path | None = None, recipe: Recipe = RECIPE
) -> tuple[Path, Path]:
    """(model directory, evaluation directory), as the pipeline's steps leave them."""
    model = write_model(folder / "model", seed=seed)
    rows = folder.parent / "rows.parquet"
    if not rows.exists():
        write_rows(rows, FEATURES, repos=8)
    evaluate.evaluate(
        str(model), str(rows), str(folder / "evaluation"), str(champion) if champion else None
    )
    return model, folder / "evaluation"
