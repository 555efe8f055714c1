"""Gather what the report of a run shows. A part that cannot be read is absent, with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from platform_ctl.domain.budget import LedgerEntry, cost
from platform_ctl.domain.diagnosis import Diagnosis, Facts
from platform_ctl.domain.gate import GateDecision
from platform_ctl.domain.ir import UNSET, Pipeline, plain_numbers
from platform_ctl.domain.lineage_graph import TaskRun
from platform_ctl.domain.release import Release, ReleaseEvent
from platform_ctl.domain.report_run import evaluation as evaluations
from platform_ctl.domain.report_run.graph import graph, took
from platform_ctl.domain.report_run.headline import Failure, headline
from platform_ctl.domain.report_run.lineage import LineageMap, lineage_map
from platform_ctl.domain.report_run.timeline import timeline
from platform_ctl.domain.report_run.value import (
    Canary,
    Criterion,
    Gate,
    Look,
    Metric,
    Parameter,
    RunReport,
    Search,
    SearchTrial,
    StepRow,
)
from platform_ctl.domain.roles import Role
from platform_ctl.domain.runs import ERROR_FILE, Artifact, Run, Task, TaskState
from platform_ctl.domain.step_cache import Decision
from platform_ctl.domain.tuning_progress import best, scored
from platform_ctl.domain.why import diagnose
from platform_ctl.errors import PlatformError
from platform_ctl.operations.find_search import FOLDER
from platform_ctl.operations.register import EVALUATION_FILE
from platform_ctl.operations.why import Looking, facts_of
from platform_ctl.ports.tuner import SearchRecord

T = TypeVar("T")
_MOST_BYTES = 16 << 20
"""A larger JSON file is no decision and no evaluation."""
_LOG_BYTES, _LOG_LINES = 8192, 30
_MOST_FAILURES = 5


@dataclass(frozen=True)
class Reporting:
    """What is read beside the ports of a diagnosis."""

    looking: Looking
    ledger: Callable[[str], Sequence[LedgerEntry]]
    search: Callable[[Path], SearchRecord]
    """By working directory. Raises UnknownName."""
    importance: Callable[[SearchRecord], Mapping[str, float]]
    columns: Callable[[Path], Mapping[str, Sequence[Any]]]
    """Of the table beside an evaluation; empty without one."""
    lineage: Callable[[], Iterable[TaskRun]]
    """The ended task runs of the home."""


def run_report(reporting: Reporting, run_id: str) -> RunReport:
    """Everything about one run. Raises UnknownName when there is no such run."""
    return _Gathering(reporting, reporting.looking.orchestrator.get(run_id)).report()


@dataclass
class _Gathering:
    reporting: Reporting
    run: Run
    absent: dict[str, str] = field(default_factory=dict)

    def report(self) -> RunReport:
        run, looking = self.run, self.reporting.looking
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        pipeline = self._try(
            "pipeline", lambda: looking.read_pipeline(Path(run.directory) / "pipeline.yaml")
        )
        facts = self._try("chain", lambda: facts_of(looking, run))
        decisions = self._try("cache", lambda: looking.cache.decisions(run.id)) or []
        entries = self._try("cost", lambda: self.reporting.ledger(run.id)) or []
        found = diagnose(facts, run.id) if facts else None
        canary = self._canary(facts)
        failures = tuple(_failures(run))
        return RunReport(
            run=run,
            written_at=now,
            description=pipeline.pipeline_info.description if pipeline else "",
            headline=headline(run, facts, found, canary.release if canary else None, failures),
            parameters=_parameters(run, pipeline),
            graph=graph(pipeline, run),
            timeline=timeline(run, pipeline, now),
            steps=tuple(_step_rows(run, decisions, entries)),
            cost=cost(entries),
            failures=failures,
            of_run=facts.run.id if facts and facts.run.id != run.id else "",
            chain=_worth_showing(found, facts),
            search=self._search(facts.run if facts else run),
            evaluation=self._evaluation(facts),
            metrics=tuple(_metrics(facts.run if facts else run)),
            gate=self._gate(facts),
            approval=self._approval(facts),
            canary=canary,
            lineage=self._lineage(),
            absent=self.absent,
        )

    def _try(self, section: str, read: Callable[[], T]) -> T | None:
        """What ``read`` gives; None, with the reason kept, when the platform cannot read it."""
        try:
            return read()
        except PlatformError as exc:
            self.absent[section] = f"it could not be read: {exc.what}"
            return None

    def _missing(self, section: str, why: str) -> None:
        self.absent.setdefault(section, why)

    # ---- search ---------------------------------------------------------------

    def _search(self, mine: Run) -> Search | None:
        """That of the run, or of the run whose search the cache gave it."""
        source = self._try("search", lambda: self._search_source(mine)) or ""
        for run_id in filter(None, (mine.id, source)):
            folder = Path(mine.directory).parent / run_id / FOLDER
            if folder.is_dir():
                record = self._try("search", lambda: self.reporting.search(folder))  # noqa: B023
                if record is not None:
                    return self._searched(record, "" if run_id == self.run.id else run_id)
        gone = f"the search was made by run {source[:8]}, whose files are gone"
        self._missing("search", gone if source else "no step searched for hyperparameters")
        return None

    def _search_source(self, run: Run) -> str:
        """The run that a search's ledger entries came from; "" when the cache saved none."""
        saved = {
            e.task for e in self.reporting.ledger(run.id) if e.kind == "tune" and e.saved_by_cache
        }
        decisions = self.reporting.looking.cache.decisions(run.id)
        return next((d.source_run_id for d in decisions if d.task in saved), "")

    def _searched(self, record: SearchRecord, of_run: str) -> Search:
        experiment, scores = record.experiment, dict[str, float]()
        scores = {t.name: value for t, value in scored(experiment, record.trials)}
        top, ended = best(experiment, record.trials), record.status.outcome
        spec = experiment.spec
        return Search(
            name=experiment.name,
            metric=spec.objective.objective_metric_name,
            minimize=spec.objective.type == "minimize",
            algorithm=spec.algorithm.algorithm_name,
            numeric=tuple(p.name for p in spec.parameters if p.is_number),
            trials=tuple(
                SearchTrial(
                    t.name,
                    t.number,
                    t.state.value,
                    scores.get(t.name),
                    t.parameters,
                    t.wall_s,
                    t.cpu_s,
                    t.message,
                )
                for t in record.trials
            ),
            best=top[0].name if top else "",
            outcome=ended.message if ended else "",
            importance=self._try("importance", lambda: self.reporting.importance(record)) or {},
            of_run=of_run,
        )

    # ---- evaluation and gate --------------------------------------------------

    def _evaluation(self, facts: Facts | None) -> evaluations.Evaluation | None:
        folder = self._evaluation_folder(facts)
        if folder is None:
            self._missing("evaluation", _not_written(facts, "an evaluation"))
            return None
        try:
            document = _json(folder / EVALUATION_FILE)
            return evaluations.parse(document, self.reporting.columns(folder))
        except (OSError, ValueError) as exc:
            self.absent["evaluation"] = f"{folder / EVALUATION_FILE} cannot be read: {exc}"
            return None

    def _evaluation_folder(self, facts: Facts | None) -> Path | None:
        run = facts.run if facts else self.run
        for artifact in _artifacts(run.tasks):
            if (Path(artifact.uri) / EVALUATION_FILE).is_file():
                return Path(artifact.uri)
        version = facts.version if facts else None
        if version is None:
            return None
        registry = self.reporting.looking.registry
        return self._try("evaluation", lambda: registry.local_dir(version, "evaluation"))

    def _gate(self, facts: Facts | None) -> Gate | None:
        task = facts.task(Role.GATE) if facts else None
        if task is None or not task.state.good:
            told = _not_reached(task) if task else "this pipeline has no gate that was asked"
            self._missing("gate", told)
            return None
        verdict = str(task.outputs.parameters.get("verdict", ""))
        reasons = task.outputs.parameters.get("reasons")
        listed = tuple(map(str, reasons)) if isinstance(reasons, list) else ()
        return Gate(task.path, verdict, listed, tuple(_criteria(task)))

    # ---- approval and canary --------------------------------------------------

    def _approval(self, facts: Facts | None) -> Any:
        if facts is None or facts.approval is None:
            self._missing("approval", "nobody was asked: this run registered nothing to approve")
            return None
        return facts.approval

    def _canary(self, facts: Facts | None) -> Canary | None:
        release = self._try("canary", lambda: self._release(facts))
        if release is None:
            self._missing("canary", "no release of what this run made")
            return None
        events = self.reporting.looking.releases.events(release.id)
        looks = tuple(_look(e) for e in events if e.kind == "analysed")
        return Canary(release, looks, tuple((e.at, e.kind, _detail(e)) for e in events))

    def _release(self, facts: Facts | None) -> Release | None:
        """The release that the run, or the promotion of its model, started."""
        runs = [self.run, *([facts.promotion] if facts and facts.promotion else [])]
        for task in (t for run in runs for t in run.tasks):
            release_id = task.outputs.parameters.get("release_id")
            if isinstance(release_id, str) and release_id:
                return self.reporting.looking.releases.get(release_id)
        if facts is None or facts.release is None or facts.version is None:
            return None
        target = facts.release.target
        about = (target.model, facts.release.version) == (facts.version.name, facts.number)
        return facts.release if about else None

    # ---- lineage --------------------------------------------------------------

    def _lineage(self) -> LineageMap | None:
        tasks = self._try("lineage", self.reporting.lineage)
        found = lineage_map(tasks, self.run.id) if tasks is not None else None
        if found is None:
            self._missing("lineage", "no lineage event of this run was recorded")
        return found


# ---- rows -----------------------------------------------------------------------


def _parameters(run: Run, pipeline: Pipeline | None) -> tuple[Parameter, ...]:
    declared = pipeline.root.input_definitions.parameters if pipeline else {}
    defaults = {
        n: plain_numbers(p.default_value)
        for n, p in declared.items()
        if p.default_value is not UNSET
    }
    return tuple(Parameter(n, v, defaults.get(n)) for n, v in run.parameters.items())


def _step_rows(
    run: Run, decisions: Sequence[Decision], entries: Sequence[LedgerEntry]
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


def _failures(run: Run) -> Iterable[Failure]:
    failed = [t for t in run.tasks if t.state is TaskState.FAILED]
    for task in failed[:_MOST_FAILURES]:
        if not task.log:
            yield Failure(task.path, task.error)
            continue
        log = Path(run.directory) / task.log
        told = _told(log.with_name(ERROR_FILE))
        yield Failure(task.path, task.error, told.get("fix", ""), told.get("see", ""), _tail(log))


def _told(path: Path) -> Mapping[str, str]:
    """What the platform's own error said beside its text; empty for any other failure."""
    try:
        record = _json(path)
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in record.items()} if isinstance(record, dict) else {}


def _tail(path: Path) -> str:
    """The last lines of a log; "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            lines = file.read(_LOG_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_LOG_LINES:])


def _metrics(run: Run) -> Iterable[Metric]:
    for task in run.tasks:
        for artifact in _artifacts([task]):
            if artifact.schema_title == "system.Metrics":
                for name, value in artifact.metadata.items():
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        yield Metric(task.path, name, float(value))


def _artifacts(tasks: Iterable[Task]) -> Iterable[Artifact]:
    return (a for t in tasks for some in t.outputs.artifacts.values() for a in some)


def _criteria(task: Task) -> Iterable[Criterion]:
    """The figures of the decision that the gate left as JSON, if it did."""
    for artifact in _artifacts([task]):
        try:
            decision = GateDecision.from_dict(_json(Path(artifact.uri)))
            figures = {n: dict(f) for n, f in decision.figures.items()}
        except (OSError, ValueError, KeyError, TypeError):
            continue
        for name, one in figures.items():
            numbers = {n: one[n] for n in ("point", "low", "high", "rows") if n in one}
            known = {n: v for n, v in numbers.items() if isinstance(v, int | float)}
            against = str(one.get("baseline", "champion" if name == "champion" else ""))
            yield Criterion(name, str(one.get("verdict", "")), against=against, **known)


def _look(event: ReleaseEvent) -> Look:
    detail = event.detail
    requests = detail.get("requests", {})
    figures = {n: v for n, v in detail.get("figures", {}).items() if isinstance(v, int | float)}
    return Look(
        event.at,
        int(detail.get("weight_percent", 0)),
        str(detail.get("verdict", "")),
        tuple(map(str, detail.get("reasons", ()))),
        figures,
        int(requests.get("traffic", 0)),
        int(requests.get("replay", 0)),
    )


def _detail(event: ReleaseEvent) -> str:
    """A few words on an event; the figures of an analysis have a table of their own."""
    told = {k: v for k, v in event.detail.items() if k not in ("figures", "level", "requests")}
    if isinstance(told.get("reasons"), list):
        told["reasons"] = "; ".join(map(str, told["reasons"]))
    return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in told.items())


def _worth_showing(found: Diagnosis | None, facts: Facts | None) -> Diagnosis | None:
    """A chain to production says nothing about a pipeline that has no part in one."""
    return found if found and facts and facts.roles else None


def _not_written(facts: Facts | None, what: str) -> str:
    failed = next((t for t in facts.run.tasks if t.error), None) if facts else None
    return f"no step wrote {what}" + (f"; {failed.path}: {failed.error}" if failed else "")


def _not_reached(task: Task) -> str:
    return f"{task.path} is {task.state}" + (f": {task.error}" if task.error else "")


def _json(path: Path) -> Any:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("it is too large")
    return json.loads(path.read_text(encoding="utf-8"))
