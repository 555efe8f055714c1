"""Gather what the report of a run shows. A part that cannot be read is absent, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from platform_ctl.approvals.request import ApprovalRequest
from platform_ctl.errors import PlatformError
from platform_ctl.explain.diagnosis import Diagnosis, DiagnosisFacts
from platform_ctl.explain.why import diagnose
from platform_ctl.explain.why_facts import DiagnosisPorts, facts_of
from platform_ctl.ir.pipeline import Pipeline, planned_leaves
from platform_ctl.ir.roles import Role
from platform_ctl.lineage.graph import TaskRun
from platform_ctl.models import evaluation as evaluations
from platform_ctl.models.read_evaluation import Columns, read_evaluation
from platform_ctl.recipe.scores import EVALUATION_FILE
from platform_ctl.releases.release import Release
from platform_ctl.report import rows, search_page
from platform_ctl.report.dag import graph
from platform_ctl.report.headline import headline
from platform_ctl.report.lineage_map import LineageMap, lineage_map
from platform_ctl.report.timeline import timeline
from platform_ctl.report.value import (
    CanaryHistory,
    Gate,
    RunReport,
    SearchSummary,
)
from platform_ctl.runs.budget import LedgerEntry, cost
from platform_ctl.runs.port import Artifacts
from platform_ctl.runs.record import Run, Task, TaskState
from platform_ctl.runs.task_name import in_flow
from platform_ctl.text import redacted
from platform_ctl.tuning.port import SearchRecord

T = TypeVar("T")


@dataclass(frozen=True)
class Reporting:
    """What is read beside the ports of a diagnosis."""

    looking: DiagnosisPorts
    artifacts: Artifacts
    ledger: Callable[[str], Sequence[LedgerEntry]]
    search: Callable[[str], SearchRecord | None]
    """By the run's id; None where that run did not search."""
    """By working directory. Raises UnknownName."""
    importance: Callable[[SearchRecord], Mapping[str, float]]
    columns: Columns
    """Of the table beside an evaluation; empty without one."""
    lineage: Callable[[], Iterable[TaskRun]]
    """The ended task runs of the home."""


def run_report(reporting: Reporting, run_id: str) -> RunReport:
    """Everything about one run. Raises UnknownName when there is no such run."""
    run = reporting.looking.runs.get(run_id)
    return _Gathering(reporting, _without_credentials(run)).report()


def _without_credentials(run: Run) -> Run:
    """A page is sent on, and what went wrong may quote an address with a password."""
    tasks = tuple(replace(t, error=redacted(t.error)) if t.error else t for t in run.tasks)
    return replace(run, error=redacted(run.error) if run.error else "", tasks=tasks)


@dataclass
class _Gathering:
    reporting: Reporting
    run: Run
    absent: dict[str, str] = field(default_factory=dict)

    def report(self) -> RunReport:
        run, looking = self.run, self.reporting.looking
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        pipeline = self._try("pipeline", lambda: looking.read_pipeline(run))
        facts = self._try("chain", lambda: facts_of(looking, run))
        decisions = self._try("cache", lambda: looking.cache.decisions(run.id)) or []
        entries = self._try("cost", lambda: self.reporting.ledger(run.id)) or []
        diagnosis = diagnose(facts, run.id) if facts else None
        canary = self._canary(facts)
        failures = tuple(rows.failures(run))
        return RunReport(
            run=run,
            written_at=now,
            description=pipeline.pipeline_info.description if pipeline else "",
            headline=headline(run, facts, diagnosis, canary.release if canary else None, failures),
            parameters=rows.parameters(run, pipeline),
            graph=graph(pipeline, run),
            timeline=timeline(run, pipeline, now),
            steps=tuple(rows.step_rows(_in_order(run, pipeline), decisions, entries)),
            cost=cost(entries),
            failures=failures,
            of_run=facts.run.id if facts and facts.run.id != run.id else "",
            chain=_worth_showing(diagnosis, facts),
            search=self._search(facts.run if facts else run),
            evaluation=self._evaluation(facts),
            metrics=tuple(rows.metrics(facts.run if facts else run)),
            curves=rows.curves(facts.run if facts else run),
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

    def _search(self, mine: Run) -> SearchSummary | None:
        """That of the run, or of the run whose search the cache gave it."""
        source = self._try("search", lambda: self._search_source(mine)) or ""
        for run_id in filter(None, (mine.id, source)):
            record = self._try("search", partial(self.reporting.search, run_id))
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

    def _searched(self, record: SearchRecord, of_run: str) -> SearchSummary:
        shares = self._try("importance", lambda: self.reporting.importance(record)) or {}
        return search_page.summary(record, shares, of_run)

    # ---- evaluation and gate --------------------------------------------------

    def _evaluation(self, facts: DiagnosisFacts | None) -> evaluations.Evaluation | None:
        folder = self._evaluation_folder(facts)
        if folder is None:
            self._missing("evaluation", _not_written(facts, "an evaluation"))
            return None
        try:
            return read_evaluation(folder, self.reporting.columns)
        except (OSError, ValueError) as exc:
            self.absent["evaluation"] = f"{folder / EVALUATION_FILE} cannot be read: {exc}"
            return None

    def _evaluation_folder(self, facts: DiagnosisFacts | None) -> Path | None:
        run = facts.run if facts else self.run
        if folder := self._try("evaluation", lambda: self._evaluation_of(run)):
            return folder
        version = facts.version if facts else None
        if version is None:
            return None
        registry = self.reporting.looking.registry
        self.absent.pop("evaluation", None)
        return self._try("evaluation", lambda: registry.local_dir(version, "evaluation"))

    def _evaluation_of(self, run: Run) -> Path | None:
        """The artifact of a step that is an evaluation."""
        fetch = self.reporting.artifacts.fetch
        for artifact in (a for task in run.tasks for a in task.artifacts):
            if fetch(artifact.uri, EVALUATION_FILE):
                return fetch(artifact.uri)
        return None

    def _gate(self, facts: DiagnosisFacts | None) -> Gate | None:
        if facts is None:
            self._missing("gate", self.absent["chain"])
            return None
        task = facts.task(Role.GATE)
        if task is None or not task.state.good:
            reason = _not_reached(task) if task else "no gate ran"
            self._missing("gate", reason)
            return None
        verdict = str(task.outputs.parameters.get("verdict", ""))
        reasons = task.outputs.parameters.get("reasons")
        listed = tuple(map(str, reasons)) if isinstance(reasons, list) else ()
        return Gate(
            task.path, verdict, listed, tuple(rows.criteria(task, self.reporting.artifacts))
        )

    # ---- approval and canary --------------------------------------------------

    def _approval(self, facts: DiagnosisFacts | None) -> ApprovalRequest | None:
        if facts is None or facts.approval is None:
            nobody = "no approval: this run registered nothing"
            self._missing("approval", nobody if facts else self.absent["chain"])
            return None
        return facts.approval

    def _canary(self, facts: DiagnosisFacts | None) -> CanaryHistory | None:
        release = self._try("canary", lambda: self._release(facts))
        if release is None:
            self._missing("canary", "no release of what this run made")
            return None
        releases = self.reporting.looking.releases
        events = releases.events(release.id)
        looks = tuple(rows.look(e) for e in events if e.kind == "analysed")
        newest = releases.latest(release.target.service)
        returned = newest.production if newest and newest.returns else None
        return CanaryHistory(
            release,
            looks,
            tuple((e.at, e.kind, rows.detail(e)) for e in events),
            newest if returned and returned.model_version == release.version else None,
        )

    def _release(self, facts: DiagnosisFacts | None) -> Release | None:
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
        drawn = lineage_map(tasks, self.run.id) if tasks is not None else None
        if drawn is None:
            self._missing("lineage", "no lineage event of this run was recorded")
        elif not drawn.edges:
            self._missing("lineage", "it read no dataset from outside and wrote none for others")
            return None
        return drawn


def _in_order(run: Run, pipeline: Pipeline | None) -> Run:
    """The run with its tasks in the order of the flow, those that were never started, too."""
    planned = planned_leaves(pipeline) if pipeline else []
    return replace(run, tasks=tuple(in_flow(run.tasks, planned)))


def _worth_showing(diagnosis: Diagnosis | None, facts: DiagnosisFacts | None) -> Diagnosis | None:
    """A chain to production says nothing about a pipeline that has no part in one."""
    return diagnosis if diagnosis and facts and facts.roles else None


def _not_written(facts: DiagnosisFacts | None, what: str) -> str:
    failures = [t for t in facts.run.tasks if t.state is TaskState.FAILED] if facts else []
    failed = next(iter(failures), None)
    return f"no step wrote {what}" + (f"; {failed.path}: {failed.error}" if failed else "")


def _not_reached(task: Task) -> str:
    return f"{task.path} is {task.state}" + (f": {task.error}" if task.error else "")
