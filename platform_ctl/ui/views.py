"""What the pages show, as values; ``ConsolePorts`` names the functions that read them.

Reading changes nothing: every function may be called on a read-only home.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from platform_ctl.approvals.compare import ComparisonRow
from platform_ctl.approvals.request import Answer, ApprovalRequest
from platform_ctl.lineage.graph import PrintedTree
from platform_ctl.models.evaluation import Evaluation
from platform_ctl.models.model import AliasMove, ModelVersion, RegisteredModel
from platform_ctl.releases.release import Release, ReleaseEvent
from platform_ctl.runs.record import Run, Task, elapsed_s
from platform_ctl.runs.task_name import in_flow, shown, to_come
from platform_ctl.serving.service import InferenceService


@dataclass(frozen=True)
class RunRow:
    """One line of the list of runs. ``money`` is what it cost, in the home's currency."""

    run: Run
    money: float = 0.0
    saved: float = 0.0
    """What the cache saved, in the same currency."""
    planned: Sequence[str] = ()
    """Paths of the steps in the order of the flow; of one run alone."""
    progress: Mapping[str, str] = field(default_factory=dict)
    """Path of a step that runs -> how far it is, in words; of one run alone."""

    @property
    def took_s(self) -> float | None:
        """How long it took, or has been going on; None before it started."""
        return _elapsed_s(self.run.started_at, self.run.ended_at, self.run.state.final)

    @property
    def steps(self) -> Sequence[StepRow]:
        """What was, is and will be executed, in the order of the flow."""
        run = self.run
        later = [] if run.state.final else to_come(run.tasks, self.planned)
        tasks = in_flow([*run.tasks, *later], self.planned)
        return [StepRow(t, shown(t.path), self.progress.get(t.path, "")) for t in tasks]

    @property
    def given_name(self) -> str:
        """The run's name where a person or a schedule gave it one; "" for the default."""
        run = self.run
        return "" if run.name in (run.pipeline, f"{run.pipeline}-{run.id[:8]}") else run.name

    @property
    def verdicts(self) -> str:
        return ", ".join(f"{shown(v.task)}: {v.verdict}" for v in self.run.verdicts)


@dataclass(frozen=True)
class StepRow:
    """One step of a run as the page shows it."""

    task: Task
    name: str
    progress: str = ""

    @property
    def wall_s(self) -> float | None:
        """None for a step that was not executed, or not yet."""
        task = self.task
        if task.usage.wall_s or not task.attempts:
            return task.usage.wall_s or None
        return _elapsed_s(task.started_at, task.ended_at, task.state.final)

    @property
    def note(self) -> str:
        return self.progress or self.task.error or self.task.cache


def _elapsed_s(started_at: str | None, ended_at: str | None, final: bool) -> float | None:
    now = None if final else datetime.now(UTC).isoformat()
    return elapsed_s(started_at, ended_at or now)


@dataclass(frozen=True)
class VersionRow:
    """A version of a model with its losses on its golden set; "" where none is known."""

    version: ModelVersion
    loss: str = ""
    baseline: str = ""
    champion: str = ""
    """What was in production when it was evaluated."""


@dataclass(frozen=True)
class ApprovalView:
    """One request with what an approver needs to decide."""

    request: ApprovalRequest
    comparison: Sequence[ComparisonRow] = ()
    changes: Sequence[str] = ()
    """What is no longer as it was asked about; any makes the request void."""
    evaluation: Evaluation | None = None
    run_id: str = ""
    """The run that made the model."""
    gate: Sequence[str] = ()
    """The gate's verdict and reasons."""
    since_champion: Sequence[str] = ()
    """What changed since the champion's run, likeliest cause first."""
    plan: str = ""
    """The canary plan in words."""


@dataclass(frozen=True)
class ServiceView:
    """A service and the newest release of its name; None when there has been none."""

    service: InferenceService
    release: Release | None = None
    events: Sequence[ReleaseEvent] = ()


@dataclass(frozen=True)
class LineageView:
    """A dataset or model with what led to it and what came of it; without one, the names alone."""

    names: Sequence[str]
    subject: str = ""
    """As somebody asks for it: NAME or NAME/version."""
    address: str = ""
    """With its namespace and version."""
    upstream: PrintedTree | None = None
    downstream: PrintedTree | None = None


@dataclass(frozen=True)
class ConsolePorts:
    """Everything that the pages read and the one thing they do. May raise PlatformError."""

    home: str
    """What the pages are about: the home's folder or the cluster's namespace."""
    runs: Callable[[int], Sequence[RunRow]]
    run: Callable[[str], RunRow]
    report: Callable[[str], str]
    """The whole report of a run, as HTML that needs nothing else; it links back to ``/runs``."""
    models: Callable[[], Sequence[RegisteredModel]]
    versions: Callable[[RegisteredModel], Sequence[VersionRow]]
    history: Callable[[str], Sequence[AliasMove]]
    services: Callable[[], Sequence[ServiceView]]
    approvals: Callable[[], Sequence[ApprovalRequest]]
    approval: Callable[[str], ApprovalView]
    lineage: Callable[[str], LineageView]
    """Of NAME or NAME/version of a dataset or model; of "": what there is."""
    money_per_cpu_hour: float
    answer: Callable[[str, Answer, str, str], str]
    """(request id, answer, reason, who) -> one sentence on what happened."""


@dataclass(frozen=True)
class PipelineCost:
    """Totals of one pipeline."""

    pipeline: str
    runs: int = 0
    money: float = 0.0
    saved: float = 0.0


@dataclass(frozen=True)
class Attention:
    """Something that waits for a person, and where it is."""

    state: str
    words: str
    path: str
    detail: Mapping[str, str] = field(default_factory=dict)


def attention(
    runs: Sequence[RunRow], requests: Sequence[ApprovalRequest], services: Sequence[ServiceView]
) -> list[Attention]:
    """What is going on or waits for a person, most urgent first."""
    notices = [
        Attention(r.state, f"{r.reference} waits for an answer", f"/approvals/{r.id}")
        for r in requests
        if r.state == "pending"
    ]
    for view in services:
        release, name = view.release, view.service.name
        if release is not None and release.state.is_open:
            words = (
                f"{name}: version {release.version} has {release.weight_percent} % of the traffic"
            )
            notices.append(Attention(release.state, words, f"/services/{name}"))
        if view.service.state == "degraded":
            notices.append(Attention("broken", f"{name}: a revision is down", f"/services/{name}"))
    for row in runs:
        if not row.run.state.final:
            words = f"{row.run.pipeline} is running"
            notices.append(Attention(row.run.state, words, f"/runs/{row.run.id}"))
    if runs and runs[0].run.state == "FAILED":
        newest = runs[0].run
        notices.append(Attention("FAILED", f"{newest.pipeline} failed", f"/runs/{newest.id}"))
    return notices


def costs(runs: Sequence[RunRow]) -> list[PipelineCost]:
    """Totals by pipeline, dearest first."""
    totals: dict[str, PipelineCost] = {}
    for row in runs:
        so_far = totals.get(row.run.pipeline, PipelineCost(row.run.pipeline))
        totals[row.run.pipeline] = PipelineCost(
            so_far.pipeline,
            so_far.runs + 1,
            so_far.money + row.money,
            so_far.saved + row.saved,
        )
    return sorted(totals.values(), key=lambda c: -c.money)
