"""What an evaluation says: the model beside other forecasts, with uncertainty, slice by slice.

``evaluation.json`` and ``errors.parquet`` are the form in which any recipe leaves it; what is
missing in them is left out here, what is wrong is refused by ``ValueError``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MODEL, CHAMPION = "this model", "champion"
CLUSTER = "cluster:"
"""Before the name of a kind of cluster in the columns of errors.parquet."""
BINS, LEAST_IN_A_BIN = 10, 20
"""Of a calibration: fewer rows in a bin say nothing about a share."""
MOST_POINTS = 300
"""A picture of more is no clearer; which ones are left out does not depend on their error."""


@dataclass(frozen=True)
class Forecast:
    """``kind``: model, champion or baseline."""

    name: str
    kind: str
    metrics: Mapping[str, float | None]


@dataclass(frozen=True)
class MetricDifference:
    """The metric of the model minus that of ``name``, with its interval."""

    name: str
    kind: str
    point: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Slice:
    name: str
    rows: int
    model: float | None
    baseline: float | None


@dataclass(frozen=True)
class Prediction:
    label: str
    actual: float
    predicted: float
    champion: float | None = None


@dataclass(frozen=True)
class GroupMean:
    """Means over the golden rows of one cluster: a day, a patient."""

    label: str
    rows: int
    actual: float
    predicted: float


@dataclass(frozen=True)
class CalibrationBin:
    """Golden rows with about the same predicted probability."""

    rows: int
    predicted: float
    """Mean probability."""
    observed: float
    """Share of the rows that are 1."""


@dataclass(frozen=True)
class Evaluation:
    """``metric`` is the one that intervals and slices are about."""

    metric: str
    rows: int
    forecasts: tuple[Forecast, ...]
    interval: tuple[float, float] | None = None
    differences: tuple[MetricDifference, ...] = ()
    confidence: float = 0.0
    method: str = ""
    slices: tuple[Slice, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    """At most MOST_POINTS of them."""
    predicted_rows: int = 0
    groups: Mapping[str, tuple[GroupMean, ...]] = field(default_factory=dict)
    """Kind of cluster -> its clusters, in the order of their labels."""
    calibration: tuple[CalibrationBin, ...] = ()
    """Of a model that predicts the probability of one of two outcomes."""
    finite: bool = True
    leaks: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(self.forecasts[0].metrics)

    @property
    def best_baseline(self) -> Forecast | None:
        known = [f for f in self.forecasts if f.kind == "baseline" and f.metrics.get(self.metric)]
        return min(known, key=lambda f: f.metrics[self.metric] or math.inf, default=None)

    @property
    def champion(self) -> Forecast | None:
        return next((f for f in self.forecasts if f.kind == "champion"), None)


def parse(document: object, columns: Mapping[str, Sequence[Any]] | None = None) -> Evaluation:
    """A decoded evaluation.json and the columns of errors.parquet. Raises ValueError."""
    if not isinstance(document, Mapping) or not isinstance(document.get("metrics"), Mapping):
        raise ValueError("it holds no metrics")
    forecasts = tuple(_forecasts(document))
    names = list(forecasts[0].metrics)
    if not names:
        raise ValueError("it holds no metrics")
    loss = document.get("loss")
    metric = str(loss.get("name")) if isinstance(loss, Mapping) else ""
    metric = metric if metric in names else names[0]
    intervals = document.get("intervals")
    intervals = intervals if isinstance(intervals, Mapping) else {}
    predictions = _predictions(columns or {})
    leaks = document.get("leak_check")
    findings = leaks.get("findings") if isinstance(leaks, Mapping) else None
    return Evaluation(
        metric=metric,
        rows=_count(document.get("rows")),
        forecasts=forecasts,
        interval=_pair(intervals.get(metric)),
        differences=tuple(_differences(metric, forecasts, intervals)),
        confidence=finite(intervals.get("confidence")) or 0.0,
        method=str(intervals.get("method", "")),
        slices=tuple(_slices(document, metric)),
        predictions=_thinned(predictions),
        predicted_rows=len(predictions),
        groups=_groups(columns or {}),
        calibration=tuple(_calibration(predictions)),
        finite=document.get("finite") is not False,
        leaks=tuple(map(str, findings)) if isinstance(findings, list) else (),
    )


def _forecasts(document: Mapping[str, Any]) -> list[Forecast]:
    forecasts = [Forecast(MODEL, "model", _metrics(document["metrics"]))]
    if isinstance(document.get("champion"), Mapping):
        forecasts.append(Forecast(CHAMPION, "champion", _metrics(document["champion"])))
    baselines = document.get("baselines")
    for name, metrics in baselines.items() if isinstance(baselines, Mapping) else ():
        if isinstance(metrics, Mapping):
            forecasts.append(Forecast(str(name), "baseline", _metrics(metrics)))
    return forecasts


def _metrics(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    return {str(n): finite(v) for n, v in metrics.items() if v is None or finite(v) is not None}


def _differences(
    metric: str, forecasts: Sequence[Forecast], intervals: Mapping[str, Any]
) -> list[MetricDifference]:
    mine = forecasts[0].metrics.get(metric)
    differences = []
    for other in forecasts[1:]:
        ends = _pair(intervals.get(f"{metric}_minus_{other.name}"))
        theirs = other.metrics.get(metric)
        if ends:
            point = mine - theirs if mine is not None and theirs is not None else None
            differences.append(MetricDifference(other.name, other.kind, point, *ends))
    return differences


def _slices(document: Mapping[str, Any], metric: str) -> list[Slice]:
    slices = document.get("slices")
    return [
        Slice(
            str(name),
            _count(figures.get("rows")),
            finite(figures.get(metric)),
            finite(figures.get(f"baseline_{metric}")),
        )
        for name, figures in (slices.items() if isinstance(slices, Mapping) else ())
        if isinstance(figures, Mapping)
    ]


def _predictions(columns: Mapping[str, Sequence[Any]]) -> list[Prediction]:
    if "label" not in columns or "prediction" not in columns:
        return []
    blank = [None] * len(columns["label"])
    rows = zip(
        columns.get("row", blank),
        columns["label"],
        columns["prediction"],
        columns.get("champion_prediction", blank),
        strict=True,
    )
    predictions = []
    for key, actual, predicted, champion in rows:
        a, p = finite(actual), finite(predicted)
        if a is not None and p is not None:
            label = "" if key is None else str(key)
            predictions.append(Prediction(label, a, p, finite(champion)))
    return predictions


def _groups(columns: Mapping[str, Sequence[Any]]) -> dict[str, tuple[GroupMean, ...]]:
    """The means of each kind of cluster; empty where a row has no label."""
    means: dict[str, tuple[GroupMean, ...]] = {}
    if "label" not in columns or "prediction" not in columns:
        return means
    for name in (n for n in columns if n.startswith(CLUSTER)):
        pairs: dict[str, list[tuple[float, float]]] = {}
        rows = zip(columns[name], columns["label"], columns["prediction"], strict=True)
        for label, actual, predicted in rows:
            a, p = finite(actual), finite(predicted)
            if label is not None and a is not None and p is not None:
                pairs.setdefault(str(label), []).append((a, p))
        means[name.removeprefix(CLUSTER)] = tuple(
            GroupMean(label, len(some), _mean(a for a, _ in some), _mean(p for _, p in some))
            for label, some in sorted(pairs.items())
        )
    return means


def _calibration(predictions: Sequence[Prediction]) -> Iterator[CalibrationBin]:
    """At most BINS bins with equally many rows; none unless labels are 0 and 1 and predictions
    probabilities."""
    ordered = sorted(predictions, key=lambda p: p.predicted)
    if {p.actual for p in ordered} != {0.0, 1.0}:
        return
    if ordered[0].predicted < 0 or ordered[-1].predicted > 1:
        return
    bins = max(1, min(BINS, len(ordered) // LEAST_IN_A_BIN))
    for n in range(bins):
        some = ordered[n * len(ordered) // bins : (n + 1) * len(ordered) // bins]
        predicted, observed = _mean(p.predicted for p in some), _mean(p.actual for p in some)
        yield CalibrationBin(len(some), predicted, observed)


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)


def _thinned(predictions: list[Prediction]) -> tuple[Prediction, ...]:
    every = math.ceil(len(predictions) / MOST_POINTS) or 1
    return tuple(predictions[::every])


def _pair(value: object) -> tuple[float, float] | None:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = map(finite, value)
    return None if low is None or high is None else (low, high)


def finite(value: object) -> float | None:
    """None for what is no number, and for one that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
