"""A real model of the train_deploy recipe without training: an untrained net, saved and evaluated.

Its output layer starts near zero, so that it forecasts an even blend of the
window means: a fair forecast, good enough to be registered and served.
"""

from __future__ import annotations

from pathlib import Path

from platform_ctl.recipe.gate import GateDecision
from platform_ctl.recipe.verdict import Verdict
from recipes.train_deploy import evaluate, rows
from recipes.train_deploy.features import FEATURE_NAMES as FEATURES
from recipes.train_deploy.features import LOG_FEATURES
from tests.support.rows import write_rows

PASSED = GateDecision(Verdict.SUCCESSFUL, ("The model is 10 % better.",), {})


def write_candidate(
    folder: Path, *, seed: int = 0, champion: Path | None = None
) -> tuple[Path, Path]:
    """(model directory, evaluation directory), as the pipeline's steps leave them.

    Another seed gives another model. Candidates in one folder share their rows.
    """
    from recipes.train_deploy import model

    rows_path = folder.parent / "rows.parquet"
    if not rows_path.exists():
        write_rows(rows_path, FEATURES, repos=8)
    model_dir, evaluation_dir = folder / "model", folder / "evaluation"
    if not model_dir.exists():
        data = rows.read(rows_path, FEATURES).of(rows.TRAIN)
        training = {"newest_week": str(data.week_start.max())}
        spec = model.make_spec(FEATURES, LOG_FEATURES, data.features, training)
        model.save(model.build(spec, seed), model_dir)
    evaluate.evaluate(
        str(model_dir), str(rows_path), str(evaluation_dir), str(champion) if champion else None
    )
    return model_dir, evaluation_dir
