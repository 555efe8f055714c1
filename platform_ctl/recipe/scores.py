"""The evaluation of a model as files: one row of losses for each golden row, and their means.

``errors.parquet``: ``row``, ``slice`` (text), ``judged`` (bool), ``label``, ``prediction``,
``champion_prediction`` (float64, null where there is none), ``loss`` of the candidate,
``champion_loss``, ``loss:NAME`` for each baseline, ``cluster:KIND`` (text) for each kind of
cluster. ``evaluation.json``: the means over judged rows, intervals, slices, leak check, and what
the recipe adds. Gate, report, canary and run diff read these two and nothing of the recipe.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from platform_ctl.recipe.bootstrap import independent
from platform_ctl.recipe.recipe import Loss

SCHEMA = 2
EVALUATION_FILE = "evaluation.json"
ERRORS_FILE = "errors.parquet"
ROWS_FILE = "rows.parquet"
"""Golden and recent rows with their features: what a canary is asked, and judged on."""
BASELINE, CLUSTER = "loss:", "cluster:"
"""Prefixes of columns."""
RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Scores:
    """Losses (n,) of every forecaster on the same n golden rows, >= 0; infinite or NaN where a
    forecast is no number."""

    loss: Loss
    rows: np.ndarray
    """Names of the rows; no two alike."""
    candidate: np.ndarray
    baselines: Mapping[str, np.ndarray] = field(default_factory=dict)
    champion: np.ndarray | None = None
    clusters: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Kind -> label of each row; rows of one cluster are not independent. The kind of which a
    future row is a new one comes first (days before patients). Empty: rows are independent."""
    slices: np.ndarray | None = None
    judged: np.ndarray | None = None
    """False: reported apart, and no part of any mean. None: all rows are judged."""
    label: np.ndarray | None = None
    prediction: np.ndarray | None = None
    champion_prediction: np.ndarray | None = None

    @property
    def mask(self) -> np.ndarray:
        return np.ones(len(self.rows), bool) if self.judged is None else self.judged

    @property
    def slice_names(self) -> np.ndarray:
        return np.full(len(self.rows), "all") if self.slices is None else self.slices

    def losses(self) -> dict[str, np.ndarray]:
        """Every forecaster's, by name: candidate, champion where there is one, baselines."""
        champion = {} if self.champion is None else {"champion": self.champion}
        return {"candidate": self.candidate, **champion, **self.baselines}


def summarise(scores: Scores) -> dict[str, Any]:
    """What evaluation.json says of the losses: means, baselines, champion, intervals, slices."""
    judged, name, losses = scores.mask, scores.loss.name, scores.losses()

    def mean(of: str, mask: np.ndarray) -> dict[str, float | None]:
        return {name: _mean(losses[of][mask])}

    def slice_of(mask: np.ndarray) -> dict[str, Any]:
        others = [m for b in scores.baselines if (m := _mean(losses[b][mask])) is not None]
        figures = {"rows": int(mask.sum()), **mean("candidate", mask)}
        return {**figures, f"baseline_{name}": min(others, default=None)}

    slices = np.unique(scores.slice_names[judged])
    return {
        "schema": SCHEMA,
        "loss": scores.loss.as_dict(),
        "rows": int(judged.sum()),
        "clusters": {k: len(np.unique(v[judged])) for k, v in scores.clusters.items()},
        "finite": bool(np.isfinite(scores.candidate).all()),
        "metrics": mean("candidate", judged),
        "baselines": {b: mean(b, judged) for b in scores.baselines},
        "champion": None if scores.champion is None else mean("champion", judged),
        "intervals": intervals(scores),
        "slices": {str(s): slice_of(judged & (scores.slice_names == s)) for s in slices},
        "not_judged": slice_of(~judged) if (~judged).any() else {"rows": 0},
    }


def intervals(scores: Scores) -> dict[str, Any]:
    """Percentile intervals of the mean loss and of its difference to each other forecaster.

    Whole clusters of the first kind are resampled. Differences are paired (the same clusters on
    both sides). With g clusters the intervals are too narrow by about sqrt((g - 1) / g).
    """
    judged, name = scores.mask, scores.loss.name
    if not judged.any() or not np.isfinite(scores.candidate[judged]).all():
        return {}
    kind = next(iter(scores.clusters), "")
    labels = scores.clusters[kind][judged] if kind else independent(int(judged.sum()))
    draws = _resampled_means({n: v[judged] for n, v in scores.losses().items()}, labels)
    mine = draws.pop("candidate")
    by_name = {name: interval(mine)}
    for other, values in draws.items():
        by_name[f"{name}_minus_{other}"] = interval(mine - values)
    what = f"whole clusters ({kind})" if kind else "rows"
    return {
        "method": f"percentile bootstrap of {what}, {RESAMPLES} resamples",
        "confidence": CONFIDENCE,
        **by_name,
    }


def _resampled_means(losses: Mapping[str, np.ndarray], labels: np.ndarray) -> dict[str, np.ndarray]:
    names, index = np.unique(labels, return_inverse=True)
    groups = len(names)
    draws = np.random.default_rng(0).integers(0, groups, (RESAMPLES, groups))
    counts = np.bincount(index, minlength=groups)[draws].sum(1)
    return {
        name: np.bincount(index, weights=values, minlength=groups)[draws].sum(1) / counts
        for name, values in losses.items()
    }


def interval(values: np.ndarray) -> list[float]:
    """The central CONFIDENCE of resampled values."""
    tail = 100 * (1 - CONFIDENCE) / 2
    return [float(v) for v in np.percentile(values, [tail, 100 - tail])]


def write(
    out_dir: str | Path,
    scores: Scores,
    *,
    golden_digest: str,
    model_digest: str,
    leak_check: Mapping[str, Any],
    champion_digest: str = "",
    metrics: Mapping[str, Mapping[str, float | None]] | None = None,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write evaluation.json and errors.parquet; return the former.

    ``metrics``: further figures by forecaster (``candidate``, ``champion`` or a baseline), beside
    the mean loss. ``more``: whatever else evaluation.json is to say. Raises ValueError for a
    figure that JSON cannot hold.
    """
    evaluation = {
        **summarise(scores),
        "golden_digest": golden_digest,
        "model_digest": model_digest,
        "leak_check": dict(leak_check),
    }
    for name, figures in (metrics or {}).items():
        whose = {"candidate": evaluation["metrics"], "champion": evaluation["champion"]}
        into = whose[name] if name in whose else evaluation["baselines"][name]
        into.update({k: _finite(v) for k, v in figures.items()})
    if scores.champion is not None:
        evaluation["champion"]["model_digest"] = champion_digest
    for name, value in (more or {}).items():
        evaluation[name] = {**evaluation.get(name, {}), **value} if _is_map(value) else value
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    _write_errors(folder / ERRORS_FILE, scores)
    text = json.dumps(evaluation, indent=1, allow_nan=False)
    (folder / EVALUATION_FILE).write_text(text + "\n", encoding="utf-8")
    return evaluation


def _write_errors(path: Path, scores: Scores) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    nothing = np.full(len(scores.rows), np.nan)

    def numbers(values: np.ndarray | None) -> pa.Array:
        floats = nothing if values is None else np.asarray(values, np.float64)
        return pa.array(floats, pa.float64(), mask=np.isnan(floats) if values is None else None)

    def text(values: Sequence[Any] | np.ndarray) -> pa.Array:
        return pa.array([str(v) for v in values], pa.string())

    columns = {
        "row": text(scores.rows),
        "slice": text(scores.slice_names),
        "judged": pa.array(scores.mask, pa.bool_()),
        "label": numbers(scores.label),
        "prediction": numbers(scores.prediction),
        "champion_prediction": numbers(scores.champion_prediction),
        "loss": numbers(scores.candidate),
        "champion_loss": numbers(scores.champion),
        **{BASELINE + name: numbers(values) for name, values in scores.baselines.items()},
        **{CLUSTER + kind: text(values) for kind, values in scores.clusters.items()},
    }
    pq.write_table(pa.table(columns), path)


def read(folder: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What ``write`` wrote: evaluation.json, and the columns of errors.parquet."""
    import pyarrow.parquet as pq

    figures = json.loads((Path(folder) / EVALUATION_FILE).read_text(encoding="utf-8"))
    table = pq.read_table(Path(folder) / ERRORS_FILE)
    return figures, {name: table[name].to_numpy() for name in table.column_names}


def named(columns: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The columns with a prefix (BASELINE or CLUSTER), by what follows it."""
    return {n.removeprefix(prefix): c for n, c in columns.items() if n.startswith(prefix)}


def _mean(values: np.ndarray) -> float | None:
    return _finite(values.mean()) if len(values) else None


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)
