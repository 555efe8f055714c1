"""Rows of a report from the records of tasks, decisions, costs and events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from platform_ctl.errors import MissingExtra, StoreUnavailable
from platform_ctl.ir.pipeline import UNSET, Pipeline, plain_numbers
from platform_ctl.models.evaluation import finite
from platform_ctl.models.read_evaluation import read_json
from platform_ctl.recipe.gate import GateDecision
from platform_ctl.releases.release import ReleaseEvent
from platform_ctl.report.dag import took
from platform_ctl.report.headline import Failure
from platform_ctl.report.value import (
    CanaryAnalysis,
    Criterion,
    ReportedMetric,
    ReportedParameter,
    StepRow,
)
from platform_ctl.runs.budget import LedgerEntry, cost
from platform_ctl.runs.cache.values import CacheDecision
from platform_ctl.runs.learning_curves import learning_curves
from platform_ctl.runs.port import Artifacts
from platform_ctl.runs.record import ERROR_FILE, Run, Task, TaskState
from platform_ctl.text import redacted

_LOG_BYTES, _LOG_LINES = 8192, 30
_MOST_FAILURES = 5


def parameters(run: Run, pipeline: Pipeline | None) -> tuple[ReportedParameter, ...]:
    declared = pipeline.root.input_definitions.parameters if pipeline else {}
    defaults = {
        n: plain_numbers(p.default_value)
        for n, p in declared.items()
        if p.default_value is not UNSET
    }
    return tuple(ReportedParameter(n, v, defaults.get(n)) for n, v in run.parameters.items())


def step_rows(
    run: Run, decisions: Sequence[CacheDecision], entries: Sequence[LedgerEntry]
) -> Iterable[StepRow]:
    decided = {d.task: d for d in decisions}
    for task in run.tasks:
        mine = [e for e in entries if e.task == task.path]
        spent, saved = cost(e for e in mine if not e.saved_by_cache), cost(mine)
        decision = decided.get(task.path)
        yield StepRow(
            path=task.path,
            state=str(task.state),
            took=took(task),
            summary=str(task.outputs.parameters.get("summary", "")),
            error=task.error,
            cache=decision.decision if decision else "",
            cache_reason=decision.reason if decision else task.cache,
            source_run=decision.source_run_id if decision and decision.decision == "HIT" else "",
            cpu_s=spent.cpu_s,
            money=spent.money,
            trials=spent.trials,
            saved_wall_s=saved.saved_wall_s,
            saved_cpu_s=saved.saved_cpu_s,
            peak_memory_bytes=task.usage.peak_memory_bytes,
            attempts=task.attempts,
        )


def failures(run: Run) -> Iterable[Failure]:
    failed = [t for t in run.tasks if t.state is TaskState.FAILED]
    for task in failed[:_MOST_FAILURES]:
        if not task.log:
            yield Failure(task.path, task.error)
            continue
        log = Path(run.directory) / task.log
        error = task.failure or _told(log.with_name(ERROR_FILE))
        yield Failure(task.path, task.error, error.get("fix", ""), error.get("see", ""), _tail(log))


def _told(path: Path) -> Mapping[str, str]:
    """What the platform's own error said beside its text; empty for any other failure."""
    try:
        record = read_json(path)
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in record.items()} if isinstance(record, dict) else {}


def _tail(path: Path) -> str:
    """The last lines of a log, without credentials; "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            lines = file.read(_LOG_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return redacted("\n".join(lines[-_LOG_LINES:]))


def curves(run: Run) -> dict[str, tuple[float, ...]]:
    """The history that a fit leaves as metadata of its model; what is not numbers is left out."""
    by_name: dict[str, tuple[float, ...]] = {}
    for artifact in (a for task in run.tasks for a in task.artifacts):
        by_name |= learning_curves(artifact.metadata.get("history"))
    return by_name


def metrics(run: Run) -> Iterable[ReportedMetric]:
    return (
        ReportedMetric(task.path, name, value) for task in run.tasks for name, value in task.metrics
    )


def criteria(task: Task, artifacts: Artifacts) -> Iterable[Criterion]:
    """The figures of the decision that the gate left as JSON, if it did."""
    for artifact in task.artifacts:
        try:
            path = artifacts.fetch(artifact.uri)
            if path is None:
                continue
            decision = GateDecision.from_dict(read_json(path))
            figures = {n: dict(f) for n, f in dict(decision.figures).items()}
        except (OSError, ValueError, KeyError, TypeError, StoreUnavailable, MissingExtra):
            continue
        for name, one in figures.items():
            numbers = {n: one[n] for n in ("point", "low", "high", "rows") if n in one}
            known = {n: v for n, v in numbers.items() if finite(v) is not None}
            against = str(one.get("baseline", "champion" if name == "champion" else ""))
            yield Criterion(name, str(one.get("verdict", "")), against=against, **known)


def look(event: ReleaseEvent) -> CanaryAnalysis:
    detail = event.detail
    requests = detail.get("requests", {})
    figures = {n: v for n, v in detail.get("figures", {}).items() if isinstance(v, int | float)}
    return CanaryAnalysis(
        event.at,
        int(detail.get("weight_percent", 0)),
        str(detail.get("verdict", "")),
        tuple(map(str, detail.get("reasons", ()))),
        figures,
        int(requests.get("traffic", 0)),
        int(requests.get("replay", 0)),
    )


def detail(event: ReleaseEvent) -> str:
    """A few words on an event; the figures of an analysis have a table of their own."""
    shown = {k: v for k, v in event.detail.items() if k not in ("figures", "level", "requests")}
    if isinstance(shown.get("reasons"), list):
        shown["reasons"] = "; ".join(map(str, shown["reasons"]))
    return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in shown.items())
