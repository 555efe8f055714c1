"""Everything that the report of a run says, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform_ctl.approvals.request import ApprovalRequest
from platform_ctl.explain.diagnosis import Diagnosis
from platform_ctl.models.evaluation import Evaluation
from platform_ctl.releases.release import Release
from platform_ctl.report.dag import DagNode
from platform_ctl.report.headline import Failure, Headline
from platform_ctl.report.lineage_map import LineageMap
from platform_ctl.report.timeline import Timeline
from platform_ctl.runs.budget import Cost
from platform_ctl.runs.record import Run


@dataclass(frozen=True)
class ReportedParameter:
    """A pipeline parameter of this run; ``default`` None: it has none."""

    name: str
    value: Any
    default: Any = None

    @property
    def changed(self) -> bool:
        return self.default is not None and self.value != self.default


@dataclass(frozen=True)
class StepRow:
    """What one task did, cost and saved. A loop's iterations each have a row."""

    path: str
    state: str
    took: str
    summary: str
    error: str
    cache: str
    """HIT, MISS, BYPASS, or "" when the cache was not asked."""
    cache_reason: str
    source_run: str
    cpu_s: float
    money: float
    trials: int
    saved_wall_s: float
    saved_cpu_s: float
    peak_memory_bytes: int
    attempts: int


@dataclass(frozen=True)
class SearchTrial:
    name: str
    number: int
    state: str
    score: float | None
    parameters: Mapping[str, str]
    wall_s: float | None
    cpu_s: float
    message: str = ""


@dataclass(frozen=True)
class SearchSummary:
    """A tuning Experiment; ``of_run`` is the run that made it, when that is another one."""

    name: str
    metric: str
    minimize: bool
    algorithm: str
    numeric: tuple[str, ...]
    """Parameters that are numbers; the others are categories."""
    trials: tuple[SearchTrial, ...]
    best: str = ""
    outcome: str = ""
    importance: Mapping[str, float] = field(default_factory=dict)
    of_run: str = ""


@dataclass(frozen=True)
class Criterion:
    """One thing that the gate judged; a ratio of errors, smaller is better."""

    name: str
    verdict: str
    point: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int | None = None
    against: str = ""


@dataclass(frozen=True)
class Gate:
    task: str
    verdict: str
    reasons: tuple[str, ...]
    criteria: tuple[Criterion, ...] = ()


@dataclass(frozen=True)
class CanaryAnalysis:
    """One analysis of a canary."""

    at: str
    weight_percent: int
    verdict: str
    reasons: tuple[str, ...]
    figures: Mapping[str, float]
    traffic: int
    replayed: int


@dataclass(frozen=True)
class CanaryHistory:
    """``events``: (time, what, detail) of everything that happened."""

    release: Release
    looks: tuple[CanaryAnalysis, ...] = ()
    events: tuple[tuple[str, str, str], ...] = ()
    undone_by: Release | None = None
    """The release that went back to what was before this one."""


@dataclass(frozen=True)
class ReportedMetric:
    """A number that a step wrote as ``system.Metrics``."""

    task: str
    name: str
    value: float


@dataclass(frozen=True)
class RunReport:
    """``absent``: section -> why it has nothing to show. ``of_run``: the run whose model this is
    about, when that is another one."""

    run: Run
    written_at: str
    description: str
    headline: Headline
    parameters: tuple[ReportedParameter, ...]
    graph: DagNode
    timeline: Timeline
    steps: tuple[StepRow, ...]
    cost: Cost
    failures: tuple[Failure, ...] = ()
    of_run: str = ""
    chain: Diagnosis | None = None
    search: SearchSummary | None = None
    evaluation: Evaluation | None = None
    metrics: tuple[ReportedMetric, ...] = ()
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Figure of the fit -> its value after each epoch."""
    gate: Gate | None = None
    approval: ApprovalRequest | None = None
    canary: CanaryHistory | None = None
    lineage: LineageMap | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
