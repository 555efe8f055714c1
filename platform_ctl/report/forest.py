"""Figures with their uncertainty on one common axis, and the bars of a table. In percent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from platform_ctl.models.evaluation import Evaluation, GroupMean
from platform_ctl.report.plots import Scale, Tick, fit, metric
from platform_ctl.report.value import Gate

_START, _END = 3.0, 97.0


@dataclass(frozen=True)
class ForestRow:
    """``at``, ``low`` and ``high`` are places; ``other`` is a second mark to compare with."""

    name: str
    kind: str
    text: str
    at: float | None
    low: float | None = None
    high: float | None = None
    other: float | None = None


@dataclass(frozen=True)
class Forest:
    """``line``: the place of the value that means "no difference"; None: there is none."""

    rows: tuple[ForestRow, ...]
    ticks: tuple[Tick, ...]
    line: float | None = None


def metric_forest(evaluation: Evaluation) -> Forest:
    """The metric of each forecast, with the model's interval."""
    interval = evaluation.interval
    points = [f.metrics.get(evaluation.metric) for f in evaluation.forecasts]
    scale = _scale([p for p in points if p is not None] + list(interval or ()))
    rows = []
    for forecast, point in zip(evaluation.forecasts, points, strict=True):
        ends = interval if forecast.kind == "model" else None
        text = metric(point) + (f" ({metric(ends[0])} to {metric(ends[1])})" if ends else "")
        rows.append(_row(forecast.name, forecast.kind, text, scale, point, ends))
    return Forest(tuple(rows), scale.ticks(4))


def difference_forest(evaluation: Evaluation) -> Forest | None:
    """The model's metric minus each other's, with paired intervals. None without intervals."""
    differences = evaluation.differences
    if not differences:
        return None
    scale = _scale([v for d in differences for v in (d.low, d.high, 0.0)])
    rows = [
        _row(
            f"minus {d.name}",
            d.kind,
            f"{_signed(d.point)} ({_signed(d.low)} to {_signed(d.high)})",
            scale,
            d.point,
            (d.low, d.high),
        )
        for d in differences
    ]
    return Forest(tuple(rows), scale.ticks(4), scale.at(0.0))


def slice_forest(evaluation: Evaluation) -> Forest | None:
    """Each slice: the model beside the best baseline. None without slices."""
    slices = evaluation.slices
    values = [v for s in slices for v in (s.model, s.baseline) if v is not None]
    if not values:
        return None
    scale = _scale([*values, 0.0])
    rows = []
    for one in slices:
        beside = f" against {metric(one.baseline)}" if one.baseline is not None else ""
        if one.model is not None and one.baseline:
            beside += f" ({100 * (one.model / one.baseline - 1):+.0f} %)"
        at, other = (None if v is None else scale.at(v) for v in (one.model, one.baseline))
        name = f"{one.name}, {one.rows} rows"
        rows.append(ForestRow(name, "model", metric(one.model) + beside, at, other=other))
    return Forest(tuple(rows), scale.ticks(4))


MOST_GROUPS = 15


def group_forest(groups: Sequence[GroupMean]) -> Forest | None:
    """Each group: the mean forecast beside the mean of what came, furthest apart first."""
    if len(groups) < 2:
        return None
    chosen = sorted(groups, key=lambda g: -abs(g.predicted - g.actual))[:MOST_GROUPS]
    scale = _scale([v for g in chosen for v in (g.actual, g.predicted)] + [0.0])
    rows = [
        ForestRow(
            f"{g.label}, {g.rows} rows",
            "model",
            f"{metric(g.predicted)} against {metric(g.actual)}",
            scale.at(g.predicted),
            other=scale.at(g.actual),
        )
        for g in chosen
    ]
    return Forest(tuple(rows), scale.ticks(4))


def gate_forest(gate: Gate) -> Forest | None:
    """What the gate compared, as ratios of errors: left of the line is better."""
    criteria = [c for c in gate.criteria if c.point is not None and c.against]
    if not criteria:
        return None
    scale = _scale([v for c in criteria for v in (c.point, c.low, c.high, 1.0) if v is not None])
    rows = []
    for one in criteria:
        ends = (one.low, one.high) if one.low is not None and one.high is not None else None
        text = metric(one.point) + (f" ({metric(ends[0])} to {metric(ends[1])})" if ends else "")
        name = f"{one.name.replace('_', ' ')} against {one.against}"
        if one.name in (one.against, "baseline"):
            name = f"against {one.against}"
        rows.append(_row(name, f"verdict-{one.verdict}", text, scale, one.point, ends))
    return Forest(tuple(rows), scale.ticks(4), scale.at(1.0))


def shares(values: Sequence[float]) -> list[float]:
    """Each value in percent of the largest; zeros when there is none."""
    most = max(values, default=0.0)
    return [round(100 * v / most, 2) if most > 0 else 0.0 for v in values]


def _row(
    name: str,
    kind: str,
    text: str,
    scale: Scale,
    point: float | None,
    ends: tuple[float, float] | None,
) -> ForestRow:
    low, high = (scale.at(v) for v in ends) if ends else (None, None)
    return ForestRow(name, kind, text, None if point is None else scale.at(point), low, high)


def _scale(values: Sequence[float]) -> Scale:
    return fit(values, start=_START, end=_END)


def _signed(value: float | None) -> str:
    if value is None:
        return "–"
    return ("+" if value > 0 else "−" if value < 0 else "") + metric(abs(value))
