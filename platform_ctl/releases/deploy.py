"""Release a registered version: may it, and the whole way to the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from platform_ctl.approvals import decide as approve
from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.request import ApprovalRequest, ApprovalState
from platform_ctl.errors import ApprovalMissing, UsageError
from platform_ctl.models.model import ModelVersion
from platform_ctl.models.port import Registry
from platform_ctl.recipe.recipe import CanaryPlan, Recipe
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.releases.analyse import Analysed, Progress, run_analysis
from platform_ctl.releases.steps import (
    Releasing,
    promote_release,
    rollback_release,
)


def require_approval(
    registry: Registry,
    approvals: Approvals,
    recipes: Mapping[str, Recipe],
    version: ModelVersion,
) -> ApprovalRequest:
    """The standing approval of a version, verified. Raises ApprovalMissing."""
    asked = [r for r in approvals.list() if r.reference == str(version)]
    given = next((r for r in asked if r.state is ApprovalState.APPROVED), None)
    if given is None:
        raise _not_approved(version, asked[0] if asked else None)
    return approve.verify(registry, approvals, recipes, given.id)


def _not_approved(version: ModelVersion, last: ApprovalRequest | None) -> ApprovalMissing:
    said = "nobody was asked"
    if last is not None:
        because = f": {last.reason}" if last.reason else ""
        said = f"request {last.id} is {last.state}{because}"
    pending = last is not None and last.state is ApprovalState.PENDING
    return ApprovalMissing(
        f"{version} may not go to production: {said}",
        where="approvals",
        fix=f"platform-ctl approval show {last.id}"
        if pending
        else f"platform-ctl approval request {version}",
    )


def starting_at(plan: CanaryPlan, percent: int) -> CanaryPlan:
    """The plan with a smaller first step. Raises UsageError for more than was approved."""
    first = plan.weights_percent[0]
    if not 0 < percent <= first:
        raise UsageError(
            f"the approved canary plan starts at {first} percent; {percent} is not within it",
            where="--canary",
            fix=f"mlship deploy NAME --canary {first}",
        )
    later = tuple(w for w in plan.weights_percent if w > percent)
    return dataclasses.replace(plan, weights_percent=(percent, *later))


def carry_out(
    ports: Releasing,
    release_id: str,
    *,
    actor: str,
    on_progress: Progress = lambda line: None,
) -> Analysed:
    """Analyse an open release to its end: promoted, rolled back, or held when inconclusive."""
    analysed = run_analysis(ports, release_id, on_progress=on_progress)
    release = analysed.release
    if analysed.verdict is Verdict.SUCCESSFUL:
        release = promote_release(ports, release_id, actor=actor)
    elif analysed.verdict is Verdict.FAILED:
        reason = analysed.reasons[0]
        release = rollback_release(ports, release_id, actor=actor, reason=reason)
    return dataclasses.replace(analysed, release=release)
