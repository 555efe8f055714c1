"""Turns the output of a trial into Katib's observation, and applies the medianstop rule.

Reading follows Katib's file metrics collector (v0.19): lines that mention a
metric are matched against the filters, JSON lines must carry strings, and the
latest value is the one with the latest timestamp, later lines winning ties.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import NamedTuple

from platform_ctl.tuning.experiment import (
    UNAVAILABLE,
    Algorithm,
    EarlyStoppingRule,
    Metric,
    Objective,
    Observation,
    Trial,
    TrialState,
)

DEFAULT_FILTER = r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)"
"""``name=number``, with blanks around the sign allowed. Group 1 names, group 2 is the value."""

_EPOCH = datetime.min.replace(tzinfo=UTC)


class MetricReport(NamedTuple):
    """One reported value, as text; ``at`` is the earliest time when the line carried none."""

    name: str
    value: str
    at: datetime = _EPOCH

    @property
    def number(self) -> float | None:
        """The value if it is a finite number, else None."""
        return finite(self.value)


class UnreadableMetrics(ValueError):
    """A JSON metrics line is not a JSON object; Katib's collector dies of it."""


def finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_text(
    lines: Iterable[str], metrics: Sequence[str], filters: Sequence[str] = ()
) -> list[MetricReport]:
    """Readings of ``metrics`` in plain output; ``filters`` replace the default pattern."""
    patterns = [re.compile(f) for f in filters or (DEFAULT_FILTER,)]
    reports: list[MetricReport] = []
    for line in lines:
        if not any(metric in line for metric in metrics):
            continue
        at = _timestamp(line.partition(" ")[0])
        for pattern in patterns:
            for match in pattern.finditer(line):
                if pattern.groups < 2:
                    continue
                name = (match[1] or "").strip()
                if name in metrics:
                    reports.append(MetricReport(name, (match[2] or "").strip(), at))
    return reports


def read_json(lines: Iterable[str], metrics: Sequence[str]) -> list[MetricReport]:
    """Readings in JSON lines. Raises UnreadableMetrics; values that are no strings are skipped."""
    reports: list[MetricReport] = []
    for line in lines:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as exc:
            raise UnreadableMetrics(f"not JSON: {line[:80]!r}") from exc
        if not isinstance(record, dict):
            raise UnreadableMetrics(f"not a JSON object: {line[:80]!r}")
        at = _timestamp(record.get("timestamp"))
        reports += [
            MetricReport(m, record[m], at) for m in metrics if isinstance(record.get(m), str)
        ]
    return reports


def _timestamp(value: object) -> datetime:
    """RFC 3339 text or Unix seconds; anything else counts as no timestamp."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str) and "T" in value:
            at = datetime.fromisoformat(value)
            return at if at.tzinfo else _EPOCH
    except (ValueError, OverflowError, OSError):
        pass
    return _EPOCH


def observe(readings: Iterable[MetricReport], objective: Objective) -> Observation:
    """Min, max and latest of each metric of the objective, the objective's own first."""
    by_name: dict[str, list[MetricReport]] = {name: [] for name in objective.metric_names}
    for reading in readings:
        if reading.name in by_name:
            by_name[reading.name].append(reading)
    return Observation(tuple(_summary(name, seen) for name, seen in by_name.items()))


def _summary(name: str, readings: list[MetricReport]) -> Metric:
    if not readings:
        return Metric(name)
    numbers = [(r.number, r.value) for r in readings if r.number is not None]
    latest = readings[0]
    for reading in readings[1:]:
        latest = latest if latest.at > reading.at else reading
    return Metric(
        name,
        min=min(numbers)[1] if numbers else UNAVAILABLE,
        max=max(numbers)[1] if numbers else UNAVAILABLE,
        latest=latest.value,
    )


def objective_value(objective: Objective, observation: Observation | None) -> float | None:
    """The trial's score under the metric strategy; None when there is no finite one.

    Katib falls back to the latest text when min and max are missing and then
    calls that trial the best; here a score that is no finite number is no score.
    """
    for metric in observation.metrics if observation else ():
        if metric.name == objective.objective_metric_name:
            return finite(getattr(metric, objective.strategy(metric.name)))
    return None


def objective_reports(readings: Iterable[MetricReport], objective: Objective) -> list[float]:
    """Finite reports of the objective, in order."""
    name = objective.objective_metric_name
    return [r.number for r in readings if r.name == name and r.number is not None]


# ---- medianstop ---------------------------------------------------------

MIN_TRIALS_REQUIRED = 3
START_STEP = 4


def start_step(early_stopping: Algorithm | None) -> int:
    """Reports after which a trial is judged; 0 without early stopping."""
    if early_stopping is None:
        return 0
    return int(early_stopping.settings.get("start_step", START_STEP))


def medianstop_rule(
    early_stopping: Algorithm | None, objective: Objective, trials: Iterable[Trial]
) -> EarlyStoppingRule | None:
    """The rule a new trial gets, fixed when it is suggested; None before enough trials succeeded.

    Despite its name Katib compares with the mean, over the succeeded trials, of
    each one's average over its first ``start_step`` reports.
    """
    if early_stopping is None:
        return None
    needed = int(early_stopping.settings.get("min_trials_required", MIN_TRIALS_REQUIRED))
    heads = [fmean(t.head) for t in trials if t.state is TrialState.SUCCEEDED and t.head]
    if len(heads) < needed:
        return None
    return EarlyStoppingRule(
        name=objective.objective_metric_name,
        value=repr(fmean(heads)),
        comparison="greater" if objective.type == "minimize" else "less",
        start_step=start_step(early_stopping),
    )


def should_stop(
    rules: Sequence[EarlyStoppingRule], objective: Objective, reports: Sequence[float]
) -> bool:
    """Whether a running trial falls to its rules.

    A rule is judged once, at the ``start_step``-th report, on the best report so far.
    """
    return bool(rules) and all(_broken(rule, objective, reports) for rule in rules)


def _broken(rule: EarlyStoppingRule, objective: Objective, reports: Sequence[float]) -> bool:
    if len(reports) < max(rule.start_step, 1):
        return False
    head = reports[: max(rule.start_step, 1)]
    best = min(head) if objective.type == "minimize" else max(head)
    limit = float(rule.value)
    return best > limit if rule.comparison == "greater" else best < limit
