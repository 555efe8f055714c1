"""Score a model on the frozen golden rows, beside the naive forecasts and the champion.

Headline figures are over live repositories; dormant ones (no commit in the 26
weeks before the row) are reported apart, because forecasting zero for them is
easy and would flatter every forecaster alike. MASE is Hyndman and Koehler's
(2006): absolute error over the repository's own training-period error of the
last-week forecast, averaged over rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_ctl.errors import ChampionNotComparable, TooLittleHistory
from recipes.train_deploy import leaks, predict, rows
from recipes.train_deploy.names import RECIPE

SCHEMA = 1
EVALUATION_FILE = "evaluation.json"
ERRORS_FILE = "errors.parquet"
ROWS_FILE = "rows.parquet"
"""Golden and recent rows: what a canary is asked, and judged on."""
BASELINES = {"last_week": "naive_last_week", "mean_4w": "naive_mean_4w"}
SMALL_COMMITS_PER_WEEK = 3.0
"""Slice ``small``: fewer commits a week than this, on average over its training rows."""
BURSTY_VARIATION = 1.25
"""Slice ``bursty``: not small, and a standard deviation above this multiple of the mean."""
RESAMPLES = 2000
CONFIDENCE = 0.95


def evaluate(
    model_dir: str, rows_path: str, out_dir: str, champion_dir: str | None = None
) -> dict[str, Any]:
    """Write evaluation.json, errors.parquet and rows.parquet to ``out_dir``; return the first.

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
    forecasts = {name: getattr(golden, column) for name, column in BASELINES.items()}
    forecasts["candidate"] = candidate.predict(golden.features)
    if champion_dir is not None:
        forecasts["champion"] = _champion_forecast(champion_dir, rows_path)
    slices = slice_names(data, golden)
    evaluation = {
        "schema": SCHEMA,
        "golden_digest": rows.golden_digest(rows_path),
        "model_digest": candidate.digest,
        **_figures(golden, forecasts, slices),
        "leak_check": leaks.check(data, candidate.spec),
    }
    if champion_dir is not None:
        evaluation["champion"]["model_digest"] = predict.model_digest(champion_dir)
    _write(Path(out_dir), evaluation, golden, forecasts, slices)
    rows.copy_splits(rows_path, Path(out_dir) / ROWS_FILE, rows.GOLDEN, rows.RECENT)
    return evaluation


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


def _figures(
    golden: rows.Rows, forecasts: Mapping[str, np.ndarray], slices: np.ndarray
) -> dict[str, Any]:
    live = ~golden.dormant
    errors = {name: np.abs(f - golden.label) for name, f in forecasts.items()}

    def of(name: str, mask: np.ndarray) -> dict[str, float | None]:
        return metrics(errors[name][mask], golden.scale[mask])

    def slice_of(mask: np.ndarray) -> dict[str, Any]:
        figures = of("candidate", mask)
        best = min((of(name, mask)["mase"] for name in BASELINES), default=None)
        return {"rows": int(mask.sum()), **figures, "baseline_mase": best}

    weeks = golden.week_start[live]
    scaled = {name: e[live] / golden.scale[live] for name, e in errors.items()}
    return {
        "rows": int(live.sum()),
        "repositories": len(np.unique(golden.repo[live])),
        "weeks": len(np.unique(weeks)),
        "finite": bool(np.isfinite(forecasts["candidate"]).all()),
        "metrics": of("candidate", live),
        "baselines": {name: of(name, live) for name in BASELINES},
        "champion": of("champion", live) if "champion" in forecasts else None,
        "intervals": intervals(scaled, weeks),
        "slices": {
            str(name): slice_of(live & (slices == name)) for name in np.unique(slices[live])
        },
        "dormant": slice_of(~live) if (~live).any() else {"rows": 0},
    }


def metrics(error: np.ndarray, scale: np.ndarray) -> dict[str, float | None]:
    """MAE and RMSE in commits, MASE without unit, of absolute errors (n,); None if undefined."""
    if not len(error):
        return {"mae": None, "rmse": None, "mase": None}
    figures = {
        "mae": error.mean(),
        "rmse": np.sqrt((error**2).mean()),
        "mase": (error / scale).mean(),
    }
    return {name: float(v) if np.isfinite(v) else None for name, v in figures.items()}


def intervals(scaled: Mapping[str, np.ndarray], weeks: np.ndarray) -> dict[str, Any]:
    """Percentile intervals of the MASE and of its difference to each other forecast.

    Whole weeks are resampled: the repositories are the ones we serve, not a
    sample of others, while errors of one week share its holidays and releases.
    Differences are paired (the same weeks on both sides). With the golden set's
    12 weeks the intervals are a little too narrow, by about sqrt(11/12).
    """
    if not len(weeks) or not np.isfinite(scaled["candidate"]).all():
        return {}
    names, index = np.unique(weeks, return_inverse=True)
    draws = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
    counts = np.bincount(index, minlength=len(names))[draws].sum(1)
    resampled = {
        name: np.bincount(index, weights=e, minlength=len(names))[draws].sum(1) / counts
        for name, e in scaled.items()
    }
    mine = resampled.pop("candidate")
    found = {"mase": _interval(mine)}
    for name, other in resampled.items():
        found[f"mase_minus_{name}"] = _interval(mine - other)
    return {
        "method": f"percentile bootstrap of whole weeks, {RESAMPLES} resamples",
        "confidence": CONFIDENCE,
        **found,
    }


def _interval(values: np.ndarray) -> list[float]:
    tail = 100 * (1 - CONFIDENCE) / 2
    return [float(v) for v in np.percentile(values, [tail, 100 - tail])]


def read(folder: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What ``evaluate`` wrote: evaluation.json, and the columns of errors.parquet."""
    figures = json.loads((Path(folder) / EVALUATION_FILE).read_text(encoding="utf-8"))
    table = pq.read_table(Path(folder) / ERRORS_FILE)
    return figures, {name: table[name].to_numpy() for name in table.column_names}


def _write(
    folder: Path,
    evaluation: Mapping[str, Any],
    golden: rows.Rows,
    forecasts: Mapping[str, np.ndarray],
    slices: np.ndarray,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    champion = forecasts.get("champion")
    table = pa.table(
        {
            "repo": pa.array(golden.repo, pa.string()),
            "event_timestamp": pa.array(golden.event_timestamp, pa.timestamp("us", "UTC")),
            "label": pa.array(golden.label, pa.float64()),
            "prediction": pa.array(forecasts["candidate"], pa.float64()),
            "champion_prediction": pa.nulls(len(golden), pa.float64())
            if champion is None
            else pa.array(champion, pa.float64()),
            "naive_last_week": pa.array(golden.naive_last_week, pa.float64()),
            "naive_mean_4w": pa.array(golden.naive_mean_4w, pa.float64()),
            "scale": pa.array(golden.scale, pa.float64()),
            "slice": pa.array(slices, pa.string()),
        }
    )
    pq.write_table(table, folder / ERRORS_FILE)
    text = json.dumps(evaluation, indent=1, allow_nan=False)
    (folder / EVALUATION_FILE).write_text(text + "\n", encoding="utf-8")
