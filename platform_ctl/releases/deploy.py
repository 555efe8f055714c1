"""Every way to start or go on with a release submits the one ``promote`` run of its approval."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from platform_ctl.approvals import decide as approve
from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.promotion import carry_on, continue_promotion, newest_promotions
from platform_ctl.approvals.request import ApprovalRequest, ApprovalState
from platform_ctl.errors import ApprovalMissing, PreconditionMissing, UsageError
from platform_ctl.models.model import PRODUCTION, ModelVersion, find_version
from platform_ctl.models.port import Registry
from platform_ctl.recipe.recipe import CanaryPlan, Recipe
from platform_ctl.releases.release import Release
from platform_ctl.runs.port import Orchestrator
from platform_ctl.runs.record import Run, RunRequest


@dataclass(frozen=True)
class DeployPorts:
    """The ports that starting a promotion needs."""

    registry: Registry
    approvals: Approvals
    recipes: Mapping[str, Recipe]
    runs: Orchestrator
    promote: Callable[[], Path]
    """The compiled ``promote`` pipeline."""


def deploy(
    ports: DeployPorts, version: ModelVersion, recipe: Recipe, *, stop_at_percent: int = 0
) -> Run:
    """The ``promote`` run of a version; the same one when it is under way or done already, a
    new one after a run that failed or was cancelled.

    A version that is not in production needs a standing approval. Raises ApprovalMissing, and
    UsageError for a share of the traffic that is none of the approved plan's.
    """
    if stop_at_percent:
        stopping_at(recipe.canary, stop_at_percent)
    if ports.registry.aliases(version.name).get(PRODUCTION) == version.version:
        return ports.runs.submit(
            RunRequest(
                pipeline=ports.promote(),
                parameters={"approval_id": "", "model_version": str(version)},
                name=f"promote {version}",
            )
        )
    request = require_approval(ports.registry, ports.approvals, ports.recipes, version)
    run = carry_on(
        ports.runs,
        ports.approvals,
        ports.promote(),
        request,
        newest_promotions(ports.runs).get(request.id),
        stop_at_percent=stop_at_percent,
    )
    _require_stop(run, version, recipe, stop_at_percent)
    return run


def _require_stop(run: Run, version: ModelVersion, recipe: Recipe, percent: int) -> None:
    """Raise PreconditionMissing when the promotion was started before, to stop elsewhere."""
    stops_at = run.parameters.get("stop_at_percent", 0)
    if not percent or stops_at == percent:
        return
    where = f"stops at {stops_at} %" if stops_at else "goes on to Production"
    raise PreconditionMissing(
        f"the promotion of {version} was started already and {where}: "
        f"it cannot be asked to stop at {percent} %",
        where=f"run {run.id[:8]}",
        fix=f"platform-ctl release show {recipe.inference_service}",
    )


def continue_release(ports: DeployPorts, release: Release) -> Run:
    """The run that takes an open release on: the one at work, else a new one from its step."""
    reference = f"{release.target.model}/{release.version}"
    last = newest_promotions(ports.runs).get(release.approval_id)
    return continue_promotion(ports.runs, ports.promote(), release.approval_id, reference, last)


def require_approval(
    registry: Registry,
    approvals: Approvals,
    recipes: Mapping[str, Recipe],
    version: ModelVersion,
) -> ApprovalRequest:
    """The standing approval of a version, verified. Raises ApprovalMissing."""
    requests = [r for r in approvals.list() if r.reference == str(version)]
    approved = next((r for r in requests if r.state is ApprovalState.APPROVED), None)
    if approved is None:
        raise _not_approved(version, requests[0] if requests else None)
    return approve.verify(registry, approvals, recipes, approved.id)


def require_promotable(
    registry: Registry,
    approvals: Approvals,
    recipes: Mapping[str, Recipe],
    approval_id: str,
    reference: str,
) -> tuple[str, str, str]:
    """Model name, version and why it may go to Production: what a ``promote`` run starts from.

    Without an approval, ``reference`` (NAME/VERSION) must be in production already. Raises
    ApprovalMissing, and UnknownName or NothingYet for an approval that nobody has asked for.
    """
    if approval_id:
        request = approve.verify(registry, approvals, recipes, approval_id)
        by = ", ".join(vote.approver for vote in request.votes)
        return request.model, request.version, f"{request.reference} approved by {by}"
    if not reference:
        raise ApprovalMissing(
            "a promotion needs an approval, or a version that is in production",
            where="promote",
            fix="platform-ctl approval list",
        )
    version = find_version(registry.models(), reference)
    if PRODUCTION not in version.aliases:
        raise ApprovalMissing(
            f"{version} is not in production, and there is no approval",
            where="promote",
            fix=f"platform-ctl approval request {version}",
        )
    return version.name, version.version, f"{version} is in production already"


def _not_approved(version: ModelVersion, last: ApprovalRequest | None) -> ApprovalMissing:
    state = "nobody was asked"
    if last is not None:
        because = f": {last.reason}" if last.reason else ""
        state = f"request {last.id} is {last.state}{because}"
    pending = last is not None and last.state is ApprovalState.PENDING
    return ApprovalMissing(
        f"{version} may not go to production: {state}",
        where="approvals",
        fix=f"platform-ctl approval show {last.id}"
        if pending and last is not None
        else f"platform-ctl approval request {version}",
    )


def stopping_at(plan: CanaryPlan, percent: int) -> CanaryPlan:
    """The plan with a first step no larger than ``percent``, for a canary that stops there.

    Raises UsageError unless ``percent`` is a step of the approved plan or below its first.
    """
    weights = plan.weights_percent
    if percent in weights:
        return plan
    if not 0 < percent < weights[0]:
        steps = ", ".join(str(w) for w in weights)
        raise UsageError(
            f"the approved canary plan has the steps {steps} percent; {percent} is none of them, "
            f"and not below the first",
            where="--canary",
            fix=f"mlship deploy NAME --canary {weights[0]}",
        )
    return dataclasses.replace(plan, weights_percent=(percent, *weights))
