"""The sections of a report as a template wants them: leads, charts, tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_ctl.approvals.request import ApprovalRequest
from platform_ctl.models.evaluation import Evaluation
from platform_ctl.report import charts, diagrams
from platform_ctl.report.forest import (
    MOST_GROUPS,
    Forest,
    difference_forest,
    group_forest,
    metric_forest,
    slice_forest,
)
from platform_ctl.report.html import look, sentence, when
from platform_ctl.report.lineage_map import LineageMap
from platform_ctl.report.plots import count, metric, number
from platform_ctl.report.value import CanaryHistory, Gate, ReportedMetric, SearchSummary, StepRow
from platform_ctl.text import duration

_MOST_ROWS = 300
_LONG = 36
_LONGEST_ABBREVIATION = 5
"""A metric of so few letters and no underscore is one (``mae``, ``auroc``)."""


@dataclass(frozen=True)
class HtmlColumn:
    """``kind``: number, long (sentences), or "" for a few words."""

    name: str
    kind: str = ""


@dataclass(frozen=True)
class HtmlTable:
    """``left_out``: how many rows are not there."""

    title: str
    columns: tuple[HtmlColumn, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> HtmlTable:
    """Columns that end in `` #`` hold numbers."""
    shown = tuple(tuple(row) for row in rows[:_MOST_ROWS])
    longest = [max((len(row[i]) for row in shown), default=0) for i in range(len(columns))]
    headings = tuple(
        HtmlColumn(
            name.removesuffix(" #"), "number" if name.endswith(" #") else "long" * (most > _LONG)
        )
        for name, most in zip(columns, longest, strict=True)
    )
    return HtmlTable(title, headings, shown, max(0, len(rows) - _MOST_ROWS))


def metric_name(name: str) -> str:
    is_short = name.isalpha() and len(name) <= _LONGEST_ABBREVIATION
    return name.upper() if is_short else name.replace("_", " ")


def quality(evaluation: Evaluation) -> dict[str, Any]:
    """What the section on quality shows; the approver's page shows the same."""
    names = evaluation.metrics
    forecasts = [(f.name, *(metric(f.metrics.get(n)) for n in names)) for f in evaluation.forecasts]
    points = [
        (p.label, number(p.actual), number(p.predicted), number(p.champion))
        for p in evaluation.predictions
    ]
    lead = f"{evaluation.rows} rows that training never saw" if evaluation.rows else ""
    return {
        "evaluation": evaluation,
        "lead": lead + (f"; {evaluation.method}" if evaluation.method else "") + "." * bool(lead),
        "metric": metric_name(evaluation.metric),
        "confidence": f"{100 * evaluation.confidence:.0f}" if evaluation.interval else "",
        "forest": metric_forest(evaluation),
        "differences": difference_forest(evaluation),
        "slices": slice_forest(evaluation),
        "chart": charts.calibration(evaluation) or charts.predicted_against_actual(evaluation),
        "time": charts.over_time(evaluation),
        "groups": _groups(evaluation),
        "table": table(
            "All metrics as a table",
            ["forecast", *(f"{metric_name(n)} #" for n in names)],
            forecasts,
        ),
        "rows": table(
            "The golden rows of the plot",
            ["row", "actual #", "predicted #", "champion #"],
            points,
        )
        if points
        else None,
    }


def _groups(evaluation: Evaluation) -> list[tuple[str, Forest]]:
    """(heading, picture) for each kind of cluster that is not the time axis."""
    drawings = []
    for kind, groups in evaluation.groups.items():
        if charts.is_time(groups) or evaluation.calibration:
            continue
        if (drawn := group_forest(groups)) is not None:
            most = ", those furthest apart" if len(groups) > MOST_GROUPS else ""
            drawings.append((f"Mean by {kind}{most}: forecast (filled) and actual (ring)", drawn))
    return drawings


def fit(curves: Mapping[str, Sequence[float]]) -> dict[str, Any] | None:
    """The learning curves of the fit; None where it left none."""
    drawn = [c for c in (charts.learning_curve(n, v) for n, v in curves.items()) if c]
    return {"charts": drawn} if drawn else None


def metrics_table(metrics: Sequence[ReportedMetric]) -> HtmlTable:
    rows = [(m.task, m.name, number(m.value)) for m in metrics]
    return table("Figures that steps wrote", ["step", "figure", "value #"], rows)


def gate_table(gate: Gate) -> HtmlTable | None:
    if not gate.criteria:
        return None
    rows = [
        (
            c.name.replace("_", " "),
            look(c.verdict).words,
            c.against or "the ceiling",
            metric(c.point),
            metric(c.low),
            metric(c.high),
        )
        for c in gate.criteria
    ]
    columns = ["criterion", "verdict", "against", "figure #", "from #", "to #"]
    return table("All criteria as a table", columns, rows)


def bound(request: ApprovalRequest) -> Iterator[tuple[str, str]]:
    """What an answer is about, in words."""
    subject = request.subject
    yield "Model", subject.model
    yield "Evaluation", subject.evaluation
    yield "Data snapshot", subject.data_snapshot or "–"
    yield "Canary plan", subject.canary_plan
    yield "Champion", subject.champion or "none"


def canary(history: CanaryHistory) -> dict[str, Any]:
    release = history.release
    before = f" beside version {release.production.model_version}" if release.production else ""
    weights = " → ".join(f"{w} %" for w in release.plan.weights_percent)
    lead = f"{release.target.model}/{release.version} on {release.target.service}{before}. "
    lead += (
        f"Planned: {weights}; at least {release.plan.min_requests} requests at each."
        if release.production
        else "The first release: it is checked against the evaluation it was approved on."
    )
    if release.reason:
        lead += f" {sentence(release.reason)}"
    if undone := history.undone_by:
        lead += f" Afterwards, {when(undone.created_at)}: {undone.outcome}: {undone.reason}."
    looks = [
        (
            str(n),
            f"{one.weight_percent} %",
            look(one.verdict).words,
            f"{one.traffic} + {one.replayed}",
            "; ".join(one.reasons),
        )
        for n, one in enumerate(history.looks, 1)
    ]
    events = [(when(at), what, detail) for at, what, detail in history.events]
    return {
        "lead": lead,
        "state": "rolled back" if history.undone_by else release.state,
        "chart": charts.canary_weights(history),
        "looks": table(
            "Every analysis as a table",
            ["look", "weight #", "verdict", "traffic + replay #", "figures"],
            looks,
        ),
        "events": table("All events as a table", ["at (UTC)", "what", "detail"], events),
    }


def search(summary: SearchSummary) -> dict[str, Any]:
    names = list(dict.fromkeys(n for t in summary.trials for n in t.parameters))
    drawn = [charts.best_so_far(summary), *(charts.against_objective(summary, n) for n in names)]
    chosen = next((t for t in summary.trials if t.name == summary.best), None)
    picked = (
        ", ".join(f"{n} {charts.short(v)}" for n, v in chosen.parameters.items()) if chosen else ""
    )
    best = f" The best: {picked}, {summary.metric} {number(chosen.score)}." if chosen else ""
    reused = f" Run {summary.of_run[:8]} made it." if summary.of_run else ""
    aim = "smaller" if summary.minimize else "larger"
    ended = f" {summary.outcome[:1].upper()}{summary.outcome[1:]}." if summary.outcome else ""
    rows = [
        (
            t.name,
            *(charts.short(t.parameters.get(n, "")) for n in names),
            number(t.score),
            t.state,
            duration(t.wall_s) if t.wall_s is not None else "–",
            number(t.cpu_s),
            t.message,
        )
        for t in summary.trials
    ]
    columns = ["trial", *names, f"{summary.metric} #", "state", "took #", "cpu-s #", "why"]
    return {
        "lead": f"{summary.name}: {count(len(summary.trials), 'trial')} by {summary.algorithm}; "
        f"{aim} {summary.metric} is better.{best}{ended}{reused}",
        "charts": [c for c in drawn if c],
        "importance": [
            (n, round(100 * s, 1), f"{100 * s:.0f} %") for n, s in summary.importance.items()
        ],
        "table": table("All trials as a table", columns, rows),
    }


def iterations(steps: Sequence[StepRow]) -> HtmlTable:
    rows = [
        (s.path, look(s.state).words, s.cache.lower(), s.cache_reason, s.took, number(s.cpu_s))
        for s in steps
    ]
    columns = ["task", "state", "cache", "why", "took #", "cpu-s #"]
    return table("Every task as a table", columns, rows)


def lineage(drawn: LineageMap) -> dict[str, Any]:
    wide, tall = diagrams.of_lineage(drawn)
    inside = f" {drawn.inside} more only pass between its own steps." if drawn.inside else ""
    more = f" {drawn.left_out} are not drawn." if drawn.left_out else ""
    rows = [(s.task, ", ".join(s.reads) or "–", ", ".join(s.writes) or "–") for s in drawn.steps]
    return {
        "lead": "Datasets that this run read and wrote, the runs that made them, and the runs "
        f"that read them.{inside}{more}",
        "wide": wide,
        "tall": tall,
        "table": table("What each step read and wrote", ["step", "read", "wrote"], rows),
    }
