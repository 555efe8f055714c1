"""The pictures of a report: search, predictions, canary."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from platform_ctl.models.evaluation import Evaluation, GroupMean
from platform_ctl.report.plots import (
    BOTTOM,
    LEFT,
    RIGHT,
    Chart,
    Point,
    Segment,
    Tick,
    fit,
    line,
    number,
    spread,
    steps,
    vertical,
)
from platform_ctl.report.value import CanaryHistory, SearchSummary, SearchTrial

_WIDE_RANGE = 30.0
"""A parameter that varies by more than this factor is drawn on a logarithmic axis."""


def scored(search: SearchSummary) -> list[tuple[SearchTrial, float]]:
    """Trials with a score, in their order."""
    pairs = [(t, t.score) for t in search.trials if t.score is not None]
    return sorted(pairs, key=lambda pair: pair[0].number)


def so_far(search: SearchSummary) -> list[float]:
    """The best score after each scored trial."""
    best: list[float] = []
    for _, score in scored(search):
        better = min if search.minimize else max
        best.append(better(best[-1], score) if best else score)
    return best


def best_so_far(search: SearchSummary) -> Chart | None:
    """Every trial's score, and the best one up to it. None with fewer than two scored trials."""
    pairs = scored(search)
    if len(pairs) < 2:
        return None
    x = fit([t.number for t, _ in pairs])
    y = vertical([score for _, score in pairs])
    line = [(x.at(t.number), y.at(b)) for (t, _), b in zip(pairs, so_far(search), strict=True)]
    points = tuple(
        Point(x.at(t.number), y.at(s), _kind(search, t), f"{t.name}: {search.metric} {number(s)}")
        for t, s in pairs
    )
    return Chart(
        f"{search.metric} over trials",
        "trial",
        search.metric,
        tuple(t for t in x.ticks() if t.label.isdigit()),
        y.ticks(),
        points,
        steps(line, "best"),
        (("trial", "trial"), ("chosen", "chosen"), ("best", "best so far")),
        f"{len(pairs)} trials; the best {search.metric} is {number(so_far(search)[-1])}",
    )


def against_objective(search: SearchSummary, name: str) -> Chart | None:
    """One parameter against the score. None when it never varied."""
    pairs = [(t, s) for t, s in scored(search) if name in t.parameters]
    values = {t.parameters[name] for t, _ in pairs}
    if len(values) < 2:
        return None
    y = vertical([s for _, s in pairs])
    if name in search.numeric:
        numbers = [float(v) for v in values]
        wide = min(numbers) > 0 and max(numbers) / min(numbers) >= _WIDE_RANGE
        x = fit(numbers, kind="log" if wide else "linear")
        place = {v: x.at(float(v)) for v in values}
        ticks = x.ticks()
    else:
        place = _categories(sorted(values, key=_as_number))
        ticks = tuple(Tick(at, v) for v, at in place.items())
    points = tuple(
        Point(
            place[t.parameters[name]],
            y.at(s),
            _kind(search, t),
            f"{t.name}: {name} {short(t.parameters[name])}, {search.metric} {number(s)}",
        )
        for t, s in pairs
    )
    share = search.importance.get(name)
    explained = f"explains {100 * share:.0f} % of the variance" if share is not None else ""
    return Chart(
        name,
        f"{name} (log)" if name in search.numeric and wide else name,
        search.metric,
        ticks,
        y.ticks(),
        points,
        note=f"{name} against {search.metric} in {len(pairs)} trials"
        + f"; {explained}" * bool(explained),
    )


def predicted_against_actual(evaluation: Evaluation) -> Chart | None:
    """A point a golden row; on the line the forecast was right."""
    rows = evaluation.predictions
    if not rows:
        return None
    values = [v for r in rows for v in (r.actual, r.predicted)]
    kind = spread(values)
    zero = kind == "log1p" or min(values) >= 0
    x, y = fit(values, kind=kind, zero=zero), vertical(values, kind, zero=zero)
    low, high = x.low, x.high
    diagonal = Segment(x.at(low), y.at(low), x.at(high), y.at(high), "reference")
    points = tuple(
        Point(
            x.at(r.actual),
            y.at(r.predicted),
            "row",
            f"{r.label}: actual {number(r.actual)}, predicted {number(r.predicted)}",
        )
        for r in rows
    )
    of_all = f" of {evaluation.predicted_rows}" if evaluation.predicted_rows > len(rows) else ""
    axes = ", logarithmic axes" if kind == "log1p" else ""
    return Chart(
        "Predicted against actual",
        "actual",
        "predicted",
        x.ticks(),
        y.ticks(),
        points,
        (diagonal,),
        (("row", "golden row"), ("reference", "a perfect forecast")),
        f"{len(rows)}{of_all} golden rows{axes}",
    )


def over_time(evaluation: Evaluation) -> Chart | None:
    """Forecast and what came, by the kind of cluster that is a time. None without one."""
    groups = next((g for g in evaluation.groups.values() if is_time(g)), None)
    if groups is None:
        return None
    at = [m for m in (_moment(g.label) for g in groups) if m is not None]
    x = fit(at)
    y = vertical([v for g in groups for v in (g.actual, g.predicted)], zero=True)
    lines: list[Segment] = []
    points: list[Point] = []
    for kind in ("actual", "predicted"):
        spots = [(x.at(m), y.at(getattr(g, kind))) for m, g in zip(at, groups, strict=True)]
        lines += line(spots, kind)
        points += [
            Point(*spot, kind, f"{g.label}: {kind} {number(getattr(g, kind))}, {g.rows} rows")
            for spot, g in zip(spots, groups, strict=True)
        ]
    every = -(-len(groups) // 3)
    ticks = tuple(
        Tick(x.at(m), g.label[:10]) for m, g in list(zip(at, groups, strict=True))[::every]
    )
    return Chart(
        "Forecast and actual values over time",
        "",
        "mean of the rows",
        ticks,
        y.ticks(),
        tuple(points),
        tuple(lines),
        (("actual", "what came"), ("predicted", "forecast")),
        f"means of {sum(g.rows for g in groups)} golden rows at {len(groups)} times",
    )


def is_time(groups: Sequence[GroupMean]) -> bool:
    """Whether the labels of the groups are dates or times, and enough for a line."""
    return len(groups) >= 3 and all(_moment(g.label) is not None for g in groups)


def _moment(label: str) -> float | None:
    """Seconds of an ISO date or time; None for any other label."""
    try:
        at = datetime.fromisoformat(label)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def calibration(evaluation: Evaluation) -> Chart | None:
    """Of each bin: how often the outcome came against how probable it was called."""
    bins = evaluation.calibration
    if len(bins) < 2:
        return None
    x, y = fit([0.0, 1.0], zero=True), vertical([0.0, 1.0], zero=True)
    diagonal = Segment(x.at(0.0), y.at(0.0), x.at(1.0), y.at(1.0), "reference")
    spots = [(x.at(b.predicted), y.at(b.observed)) for b in bins]
    points = tuple(
        Point(
            *spot,
            "predicted",
            f"{b.rows} rows: predicted {number(b.predicted)}, observed {number(b.observed)}",
        )
        for spot, b in zip(spots, bins, strict=True)
    )
    return Chart(
        "Calibration",
        "predicted probability",
        "observed share",
        x.ticks(),
        y.ticks(),
        points,
        (diagonal, *line(spots, "predicted")),
        (("predicted", "this model"), ("reference", "perfectly calibrated")),
        f"{len(bins)} bins of about {bins[0].rows} golden rows",
    )


def learning_curve(name: str, values: Sequence[float]) -> Chart | None:
    """One figure of the fit after each epoch. None with fewer than two."""
    if len(values) < 2:
        return None
    x, y = fit([1, len(values)]), vertical(values)
    spots = [(x.at(n), y.at(v)) for n, v in enumerate(values, 1)]
    points = tuple(
        Point(*spot, "predicted", f"epoch {n}: {name} {number(v)}")
        for n, (spot, v) in enumerate(zip(spots, values, strict=True), 1)
    )
    return Chart(
        name,
        "epoch",
        name,
        tuple(t for t in x.ticks() if t.label.isdigit()),
        y.ticks(),
        points,
        tuple(line(spots, "predicted")),
        note=f"{len(values)} epochs, from {number(values[0])} to {number(values[-1])}",
    )


def canary_weights(canary: CanaryHistory) -> Chart | None:
    """The share of traffic at each analysis, and what the analysis said."""
    looks = canary.looks
    if not looks:
        return None
    x = fit([0, len(looks)], zero=True)
    y = fit([0, 100], start=BOTTOM, end=10.0)
    level = Segment(LEFT, y.at(100), RIGHT, y.at(100), "reference")
    spots = [(x.at(n), y.at(look.weight_percent)) for n, look in enumerate(looks)]
    spots.append((x.at(len(looks)), spots[-1][1]))
    points = tuple(
        Point(
            x.at(n + 0.5),
            y.at(look.weight_percent),
            f"verdict-{look.verdict}",
            f"look {n + 1}, {look.weight_percent} %: {look.verdict}: {'; '.join(look.reasons)}",
        )
        for n, look in enumerate(looks)
    )
    return Chart(
        "Traffic to the canary",
        "look",
        "% of traffic",
        tuple(Tick(x.at(n + 0.5), str(n + 1)) for n in range(len(looks))),
        tuple(Tick(y.at(v), str(v)) for v in (0, 25, 50, 75, 100)),
        points,
        (level, *steps(spots, "weight")),
        note=", ".join(f"{look.weight_percent} %: {look.verdict}" for look in looks),
    )


def _categories(values: Sequence[str]) -> dict[str, float]:
    room = (RIGHT - LEFT) / len(values)
    return {v: round(LEFT + room * (n + 0.5), 2) for n, v in enumerate(values)}


def _as_number(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def _kind(search: SearchSummary, trial: SearchTrial) -> str:
    return "chosen" if trial.name == search.best else "trial"


def short(value: str) -> str:
    """A parameter's value in a few digits."""
    try:
        return number(float(value))
    except ValueError:
        return value
