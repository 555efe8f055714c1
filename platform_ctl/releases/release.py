"""A release: one model version on its way to Production, or back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from platform_ctl.errors import UsageError
from platform_ctl.recipe.recipe import CanaryPlan
from platform_ctl.serving.service import Revision, ServiceSpec


class ReleaseState(StrEnum):
    RUNNING = "running"
    HELD = "held"
    """Inconclusive: the weight stands until a human continues or aborts."""
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"

    @property
    def is_open(self) -> bool:
        return self in (ReleaseState.RUNNING, ReleaseState.HELD)


class Intent(StrEnum):
    """Written before the first of several actions, so that whoever looks next finishes them."""

    NONE = ""
    PROMOTE = "promote"
    ROLL_BACK = "roll back"


@dataclass(frozen=True)
class Evidence:
    """Where the rows and the approved evaluation are; empty when there are none."""

    rows: str = ""
    """Parquet of the feature rows, splits ``recent`` and ``golden``."""
    evaluation: str = ""
    """Folder with ``errors.parquet``."""


@dataclass(frozen=True)
class Target:
    """What is released where."""

    service: str
    model: str
    candidate: Revision
    features: tuple[str, ...]
    entity: str = ""
    online_features: str = ""
    live_features: str = ""
    labels: str = ""
    losses: str = ""
    loss_title: str = "loss"
    evidence: Evidence = Evidence()


@dataclass(frozen=True)
class Release:
    """One row of the record; every change of it is an event too."""

    id: str
    target: Target
    plan: CanaryPlan
    production: Revision | None
    """What served before; None for the first release of a name."""
    approval_id: str = ""
    state: ReleaseState = ReleaseState.RUNNING
    intent: Intent = Intent.NONE
    step: int = 0
    """Index into ``plan.weights_percent``."""
    looks: int = 0
    """Analyses so far: what the error rate is spent over."""
    returns: bool = False
    """Goes back to an earlier version: what it leaves does not become ``previous``."""
    reason: str = ""
    created_at: str = ""
    changes: int = 0
    """Number of updates; a concurrent change is noticed by it."""

    @property
    def version(self) -> str:
        return self.target.candidate.model_version

    @property
    def weight_percent(self) -> int:
        return self.plan.weights_percent[min(self.step, len(self.plan.weights_percent) - 1)]

    @property
    def outcome(self) -> str:
        """The state in words: a release that returned to an earlier version says so."""
        if self.returns and self.state is ReleaseState.PROMOTED:
            return f"rolled back to version {self.version}"
        return str(self.state)

    def split(self) -> ServiceSpec:
        """The traffic of the current step; a first release gets none before it is promoted."""
        weight = self.weight_percent if self.production else 0
        return self._spec(self.production, self.target.candidate, weight)

    def promoted(self) -> ServiceSpec:
        return self._spec(self.target.candidate)

    def rolled_back(self) -> ServiceSpec | None:
        """None when there was nothing before."""
        return self._spec(self.production) if self.production else None

    def _spec(
        self, production: Revision | None, canary: Revision | None = None, weight: int = 0
    ) -> ServiceSpec:
        target = self.target
        return ServiceSpec(production, canary, weight, target.entity, target.online_features)


@dataclass(frozen=True)
class ReleaseEvent:
    """What happened, for people and for the evidence pack."""

    at: str
    kind: str
    """started | weight | analysed | held | continued | promoting | promoted | …"""
    detail: dict[str, Any] = field(default_factory=dict)


def check_plan(plan: CanaryPlan) -> None:
    """Raise UsageError for a plan that does not step up to all of the traffic."""
    weights = plan.weights_percent
    if not weights or list(weights) != sorted(set(weights)) or not 0 < weights[0] <= weights[-1]:
        raise UsageError(
            f"a canary plan's weights go up, from more than 0 to at most 100: {weights}",
            where="recipe.py, canary",
            fix="for example CanaryPlan(weights_percent=(10, 25, 50, 100))",
        )
    if weights[-1] > 100:
        raise UsageError(
            f"a weight of {weights[-1]} percent is more than all of the traffic",
            where="recipe.py, canary",
            fix="for example CanaryPlan(weights_percent=(10, 25, 50, 100))",
        )


def revision_name(version: str, digest: str) -> str:
    """Names a revision by what it serves, so that the same model is the same revision."""
    short = digest.removeprefix("sha256:")[:8]
    return f"v{version}-{short}" if short else f"v{version}"


def in_short(event: ReleaseEvent) -> str:
    """What happened, in a few words: verdict and reasons of an analysis, else the details."""
    detail = event.detail
    if event.kind == "analysed":
        requests = ", ".join(f"{n} {source}" for source, n in detail["requests"].items())
        reasons = "; ".join(detail["reasons"])
        return f"{detail['weight_percent']} %: {detail['verdict']}: {reasons} ({requests})"
    if event.kind == "live features":
        return f"{detail['verdict']}: {detail['reason']}"
    if "reasons" in detail:
        return "; ".join(detail["reasons"])
    return ", ".join(_IN_WORDS.get(key, key + " {}").format(value) for key, value in detail.items())


_IN_WORDS = {"actor": "by {}", "reason": "{}", "weight_percent": "{} % of the traffic"}
"""Field of an event -> how people read it; any other one by its name."""
