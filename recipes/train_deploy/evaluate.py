"""Score a model on the golden rows, beside the naive forecasts and the champion.

Headline figures are over live repositories; dormant ones (no commit in the 26
weeks before the row) are reported apart, because forecasting zero for them is
easy and would flatter every forecaster alike. MASE is Hyndman and Koehler's
(2006): absolute error over the repository's own training-period error of the
last-week forecast, averaged over rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from platform_ctl.errors import ChampionNotComparable, TooLittleHistory
from platform_ctl.recipe import scores
from recipes.train_deploy import leaks, predict, rows
from recipes.train_deploy.names import RECIPE
from recipes.train_deploy.recipe import GOLDEN, MASE

SMALL_COMMITS_PER_WEEK = 3.0
"""Slice ``small``: fewer commits a week than this, on average over its training rows."""
BURSTY_VARIATION = 1.25
"""Slice ``bursty``: not small, and a standard deviation above this multiple of the mean."""


def evaluate(
    model_dir: str, rows_path: str, out_dir: str, champion_dir: str | None = None
) -> dict[str, Any]:
    """Write the evaluation (``scores.write``) and rows.parquet to ``out_dir``; return the former.

    Figures of a model that forecasts something that is not a finite number are
    null and ``finite`` is false. Raises TooLittleHistory without golden rows,
    ChampionNotComparable when the champion needs a feature that the rows lack.
    """
    candidate = predict.load(model_dir)
    data = rows.read(rows_path, candidate.features)
    golden = data.of(rows.GOLDEN)
    if not len(golden):
        raise TooLittleHistory(
            "there are no golden rows to score",
            where=rows_path,
            fix=f"platform-ctl data show --recipe {RECIPE}",
        )
    forecasts = {name: getattr(golden, column) for name, column in rows.BASELINES.items()}
    forecasts["candidate"] = candidate.predict(golden.features)
    if champion_dir is not None:
        forecasts["champion"] = _champion_forecast(champion_dir, rows_path)
    evaluation = scores.write(
        out_dir,
        _scores(data, golden, forecasts),
        golden_digest=rows.golden_digest(rows_path),
        model_digest=candidate.digest,
        champion_digest=predict.model_digest(champion_dir) if champion_dir else "",
        leak_check=leaks.check(data, candidate.spec),
        metrics={name: _errors(golden, forecast) for name, forecast in forecasts.items()},
        more={"training": rows.training_rows(rows_path), "golden": _golden(golden)},
    )
    rows.copy_splits(rows_path, Path(out_dir) / scores.ROWS_FILE, rows.GOLDEN, rows.RECENT)
    return evaluation


def _golden(golden: rows.Rows) -> dict[str, str]:
    """Which weeks judged, for people and for the age of what was learnt."""
    first, last = golden.week_start.min(), golden.week_start.max() + leaks.LABEL_SPAN
    starts, ends = (f"{str(t)[:19]}+00:00" for t in (first, last))
    return {"policy": GOLDEN, "starts_at": starts, "ends_at": ends}


def _scores(data: rows.Rows, golden: rows.Rows, forecasts: dict[str, np.ndarray]) -> scores.Scores:
    losses = {n: np.abs(f - golden.label) / golden.scale for n, f in forecasts.items()}
    return scores.Scores(
        loss=MASE,
        rows=golden.row,
        candidate=losses["candidate"],
        baselines={name: losses[name] for name in rows.BASELINES},
        champion=losses.get("champion"),
        clusters={"week": golden.week_start.astype("datetime64[D]"), "repository": golden.repo},
        slices=slice_names(data, golden),
        judged=~golden.dormant,
        label=golden.label,
        prediction=forecasts["candidate"],
        champion_prediction=forecasts.get("champion"),
    )


def _errors(golden: rows.Rows, forecast: np.ndarray) -> dict[str, float]:
    """MAE and RMSE in commits, over live repositories."""
    error = np.abs(forecast - golden.label)[~golden.dormant]
    if not len(error):
        return {"mae": np.nan, "rmse": np.nan}
    return {"mae": error.mean(), "rmse": np.sqrt((error**2).mean())}


def _champion_forecast(champion_dir: str, rows_path: str) -> np.ndarray:
    """The champion reads its own features from the same rows."""
    champion = predict.load(champion_dir)
    try:
        golden = rows.read(rows_path, champion.features).of(rows.GOLDEN)
    except ValueError as exc:
        raise ChampionNotComparable(
            f"the champion cannot be scored on these rows: {exc}",
            where=rows_path,
            fix=f"git diff HEAD~1 -- recipes/{RECIPE}/features",
        ) from exc
    return champion.predict(golden.features)


def slice_names(data: rows.Rows, golden: rows.Rows) -> np.ndarray:
    """The slice of each golden row: dormant, small, bursty or steady.

    By the row's own state (dormant), else by its repository's training rows.
    """
    train = data.of(rows.TRAIN, rows.VALIDATION)
    names = {}
    for repo in np.unique(golden.repo):
        history = train.label[train.repo == repo]
        mean = history.mean() if len(history) else 0.0
        if mean < SMALL_COMMITS_PER_WEEK:
            names[repo] = "small"
        else:
            names[repo] = "bursty" if history.std() > BURSTY_VARIATION * mean else "steady"
    by_repo = np.array([names[repo] for repo in golden.repo])
    return np.where(golden.dormant, "dormant", by_repo)
