"""The last links of the chain: a human's answer, the canary, what serves."""

from __future__ import annotations

from platform_ctl.approvals.request import ApprovalState
from platform_ctl.explain.diagnosis import DiagnosisFacts, Link, LinkState
from platform_ctl.models.model import PREVIOUS, PRODUCTION
from platform_ctl.releases.release import Release, ReleaseState
from platform_ctl.runs.record import RunState, TaskState
from platform_ctl.serving.service import InferenceService, ServiceState
from platform_ctl.text import moment

APPROVAL_RUNBOOK = "runbooks/procedures/approve-a-model.md"
PROMOTION_RUNBOOK = "runbooks/alerts/mlflow-registry-promotion-blocked.md"
RELEASE_RUNBOOK = "runbooks/procedures/roll-back-a-release.md"
SERVICE_RUNBOOK = "runbooks/errors/target.md"


def approval(facts: DiagnosisFacts) -> Link:
    """What became of the request for this run's version."""
    if not facts.releases:
        return Link("approval", LinkState.OK, "this pipeline asks for none")
    if _was_in_production(facts):
        return Link("approval", LinkState.OK, "the version has been in production")
    request, ask = facts.approval, f"platform-ctl approval request {facts.version}"
    if request is None:
        return _broken("approval", f"no approval of {facts.version} was requested", ask, ())
    who = f"request {request.id} of {moment(request.requested_at)}"
    if request.state in (ApprovalState.PENDING, ApprovalState.APPROVED) and facts.changes:
        return _broken(
            "approval",
            f"{request.id} is void: its subject changed",
            ask,
            (who, *facts.changes),
        )
    match request.state:
        case ApprovalState.PENDING:
            return Link(
                "approval",
                LinkState.WAITING,
                f"request {request.id} waits for a human",
                (f"until {moment(request.expires_at)}",),
                f'platform-ctl approval approve {request.id} --reason "…"',
                APPROVAL_RUNBOOK,
            )
        case ApprovalState.APPROVED:
            return Link("approval", LinkState.OK, f"{request.id} by {request.decided_by()}")
        case ApprovalState.REJECTED:
            refusal = f"{request.decided_by()} said no: {request.reason}"
            return _broken("approval", f"request {request.id} was rejected", ask, (who, refusal))
        case ApprovalState.EXPIRED:
            expired = (who, f"it expired at {moment(request.expires_at)}, which means no")
            return _broken("approval", f"request {request.id} has expired", ask, expired)
        case ApprovalState.VOID if request.spent:
            used = f"{request.id} by {request.decided_by()}, used by the release"
            return Link("approval", LinkState.OK, used)
        case ApprovalState.VOID:
            return _broken("approval", f"request {request.id} is void", ask, (who, request.reason))


def release(facts: DiagnosisFacts) -> Link:
    """The canary of this run's version."""
    if facts.version is None or not facts.releases:
        return Link("release", LinkState.OK, "nothing to release")
    newest = facts.release
    if newest is not None and newest.returns and _left(newest) == facts.number:
        return _broken(
            "release",
            f"rolled back after its promotion: {newest.reason or 'no reason'}",
            f"platform-ctl release show {newest.target.service}",
            (f"release {newest.id[:8]} went back to version {newest.version}",),
            RELEASE_RUNBOOK,
        )
    if newest is not None and newest.version == facts.number:
        return _of_release(facts)
    if _was_in_production(facts):
        return Link("release", LinkState.OK, f"promoted; now {facts.aliases.get(PRODUCTION)}")
    if facts.promotion is None:
        request = facts.approval.id if facts.approval else ""
        return _broken(
            "release",
            "approved, but its promotion never started",
            f'platform-ctl approval approve {request} --reason "start it"',
            (),
            PROMOTION_RUNBOOK,
        )
    return _of_promotion(facts)


def service(facts: DiagnosisFacts) -> Link:
    """Whether what the alias ``production`` names is what answers."""
    wanted = facts.aliases.get(PRODUCTION, "")
    if not wanted or facts.recipe is None:
        return Link("service", LinkState.NOT_REACHED, "nothing is in production yet")
    name, serving = facts.recipe.inference_service, facts.service
    if serving is None:
        return _broken(
            "service",
            f"there is no InferenceService {name}",
            f"mlship deploy {facts.recipe.model_name}@{PRODUCTION}",
            (f"version {wanted} is in production and nothing serves it",),
            SERVICE_RUNBOOK,
        )
    return _answering(serving, name, wanted)


def _answering(serving_now: InferenceService, name: str, wanted: str) -> Link:
    """Whether a service that exists answers with version ``wanted``."""
    if serving_now.state is ServiceState.STOPPED:
        return _broken(
            "service",
            f"{name} is stopped",
            f"platform-ctl service start {name}",
            (f"version {wanted} is in production and nothing answers at {serving_now.url}",),
            SERVICE_RUNBOOK,
        )
    serving = serving_now.spec.production.model_version if serving_now.spec.production else ""
    if serving != wanted:
        return _broken(
            "service",
            f"{name} serves version {serving or 'none'}, not {wanted}",
            f"platform-ctl release show {name}",
            (f"the alias {PRODUCTION} names {wanted}",),
            RELEASE_RUNBOOK,
        )
    if serving_now.route_refusals:
        return _broken(
            "service",
            f"no request reaches {name}: its HTTPRoute is refused",
            f"kubectl describe httproute {name}",
            serving_now.route_refusals,
            SERVICE_RUNBOOK,
        )
    if serving_now.state in (ServiceState.DEGRADED, ServiceState.UNKNOWN):
        ill = [r for r in serving_now.revisions if not r.ready]
        down = [f"{r.name}: {r.last_failure or 'not ready'}" for r in ill]
        return _broken(
            "service",
            f"{name} is {serving_now.state}",
            f"platform-ctl service logs {name}",
            tuple(down),
            SERVICE_RUNBOOK,
        )
    return Link("service", LinkState.OK, f"{name} serves version {wanted} at {serving_now.url}")


# ---- release --------------------------------------------------------------------


def _of_release(facts: DiagnosisFacts) -> Link:
    newest = facts.release
    if newest is None:
        raise ValueError("no release")
    name = newest.target.service
    history = tuple(
        f"{moment(e.at)} {e.kind}: {_words(e.detail)}" for e in facts.events if e.kind in _TELLING
    )[-3:]
    go_on = f"platform-ctl release continue {name}"
    match newest.state:
        case ReleaseState.PROMOTED:
            return Link("release", LinkState.OK, f"{newest.id[:8]} promoted")
        case ReleaseState.ROLLED_BACK:
            return _broken(
                "release",
                f"the canary was rolled back: {newest.reason or 'no reason'}",
                f"platform-ctl release show {name}",
                history,
                RELEASE_RUNBOOK,
            )
        case ReleaseState.HELD:
            says = f"held at {newest.weight_percent} %: {newest.reason or 'inconclusive'}"
            return Link("release", LinkState.WAITING, says, history, go_on, RELEASE_RUNBOOK)
        case ReleaseState.RUNNING:
            if facts.promotion is not None and facts.promotion.state.final:
                run_state = f"its run {facts.promotion.id[:8]} is {facts.promotion.state}"
                says = f"left at {newest.weight_percent} %: {run_state}"
                return _broken("release", says, go_on, history, RELEASE_RUNBOOK)
            return Link("release", LinkState.WAITING, f"canary at {newest.weight_percent} %")


def _of_promotion(facts: DiagnosisFacts) -> Link:
    run = facts.promotion
    if run is None:
        raise ValueError("no promotion")
    if not run.state.final:
        return Link("release", LinkState.WAITING, f"run {run.id[:8]} is {run.state}")
    failed = next((t for t in run.tasks if t.state is TaskState.FAILED), None)
    what = f"{failed.path}: {failed.error}" if failed else run.error or "it released nothing"
    fix = (
        f"platform-ctl run show {run.id[:8]}"
        if run.state is RunState.SUCCEEDED
        else f"platform-ctl run resume {run.id[:8]}"
    )
    return _broken(
        "release", f"the promotion {run.id[:8]} is {run.state}: {what}", fix, (), PROMOTION_RUNBOOK
    )


def _left(release: Release) -> str:
    return release.production.model_version if release.production else ""


def _was_in_production(facts: DiagnosisFacts) -> bool:
    if facts.version is None:
        return False
    now = {facts.aliases.get(PRODUCTION), facts.aliases.get(PREVIOUS)}
    return facts.number in now or any(
        m.alias == PRODUCTION and m.to_version == facts.number and m.model == facts.version.name
        for m in facts.moves
    )


def _broken(
    name: str, says: str, fix: str, evidence: tuple[str, ...], runbook: str = APPROVAL_RUNBOOK
) -> Link:
    return Link(name, LinkState.BROKEN, says, evidence, fix, runbook)


def _words(detail: dict) -> str:
    return ", ".join(f"{k} {v}" for k, v in detail.items() if isinstance(v, str | int))


_TELLING = ("analysed", "held", "will roll back", "rolled back")
