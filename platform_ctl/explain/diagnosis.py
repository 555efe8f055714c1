"""What ``run why`` and ``model why`` look at, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from platform_ctl.approvals.request import ApprovalRequest
from platform_ctl.errors import PlatformError
from platform_ctl.ir.roles import Role
from platform_ctl.models.model import AliasMove, ModelVersion, RegisteredModel
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.recipe.tables import TableState
from platform_ctl.releases.release import Release, ReleaseEvent
from platform_ctl.runs.cache.values import CacheDecision
from platform_ctl.runs.record import Run, Task
from platform_ctl.serving.service import InferenceService


class LinkState(StrEnum):
    OK = "ok"
    WAITING = "waiting"
    """Nothing is wrong; a run, an analysis or a human has not finished."""
    BROKEN = "broken"
    NOT_REACHED = "not reached"


@dataclass(frozen=True)
class Link:
    """One link of the chain. ``fix`` is a command; ``runbook`` a file of the repository."""

    name: str
    state: LinkState
    says: str
    evidence: tuple[str, ...] = ()
    fix: str = ""
    runbook: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """The chain in order. At most one link is broken; those after it were not reached."""

    subject: str
    links: tuple[Link, ...]

    @property
    def broken(self) -> Link | None:
        return next((link for link in self.links if link.state is LinkState.BROKEN), None)

    @property
    def waiting(self) -> Link | None:
        return next((link for link in self.links if link.state is LinkState.WAITING), None)


@dataclass(frozen=True)
class RecordedLineage:
    """What the lineage outbox holds about one run."""

    since: str
    """Time of the oldest event of the home, UTC ISO 8601; "" when there is none."""
    started: bool = False
    ended: bool = False
    tasks: frozenset[str] = frozenset()
    """Paths of the tasks with a final event."""
    registry_uri: str = ""
    """Where the run was told the registry is."""


@dataclass(frozen=True)
class DiagnosisFacts:
    """Everything the diagnosis of one training run is made from; None: not there, or not known."""

    run: Run
    now: float
    """Seconds since the epoch."""
    roles: Mapping[Role, str] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    """Path of a conditional group -> its condition, as in the IR."""
    decisions: Sequence[CacheDecision] = ()
    number: str = ""
    """The version that this run registered; "" when it registered none."""
    recipe: Recipe | None = None
    table: TableState | None = None
    model: RegisteredModel | None = None
    registry_uri: str = ""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Another registry's URI -> the version of this run that it holds."""
    moves: Sequence[AliasMove] = ()
    approval: ApprovalRequest | None = None
    changes: Sequence[str] = ()
    """How what the approval is about differs from what there is now."""
    promotion: Run | None = None
    release: Release | None = None
    """The newest release of the service."""
    events: Sequence[ReleaseEvent] = ()
    service: InferenceService | None = None
    lineage: RecordedLineage | None = None
    standing: bool = False
    """Asked about the model as it stands now, not about one run."""
    unread: Mapping[str, PlatformError] = field(default_factory=dict)
    """Link whose records could not be read -> why: a registry or a cluster that is away."""

    def task(self, role: Role) -> Task | None:
        """The record of the task that plays the part; None when it was never looked at."""
        path = self.roles.get(role)
        return next((t for t in self.run.tasks if t.path == path), None)

    def output(self, role: Role, name: str) -> str:
        task = self.task(role)
        return str(task.outputs.parameters.get(name, "")) if task else ""

    @property
    def releases(self) -> bool:
        """Whether what the run makes is meant for production."""
        return Role.REQUEST in self.roles or Role.VERIFY in self.roles

    @property
    def version(self) -> ModelVersion | None:
        return self.model.version(self.number) if self.model and self.number else None

    @property
    def aliases(self) -> Mapping[str, str]:
        return self.model.aliases if self.model else {}

    @property
    def short(self) -> str:
        return self.run.id[:8]
