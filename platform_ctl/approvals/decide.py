"""Decide an approval request: who may, about what, and exactly once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from platform_ctl.approvals import announce
from platform_ctl.approvals.notifier import Notifier
from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.promotion import carry_on, newest_promotions, start_promotion
from platform_ctl.approvals.request import Answer, ApprovalRequest, ApprovalState, Policy, Vote
from platform_ctl.approvals.subject import champion_of, current_subject
from platform_ctl.errors import (
    ApprovalMissing,
    EvidenceMismatch,
    NoSuchModel,
    NotAnApprover,
    PlatformError,
    UsageError,
)
from platform_ctl.models.model import find_version
from platform_ctl.models.port import Registry
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.runs.port import Orchestrator
from platform_ctl.runs.record import Run
from platform_ctl.settings import ApprovalSettings

SELF_APPROVAL_NOTE = (
    "approved by the person who asked: allowed by approval.self_approval, "
    "which only makes sense on a laptop"
)
ANYONE_NOTE = "approval.approvers is empty: {} may approve"


@dataclass(frozen=True)
class DecisionPorts:
    """The ports that an answer needs: the command, the page and a controller pass the same."""

    registry: Registry
    approvals: Approvals
    recipes: Mapping[str, Recipe]
    runs: Orchestrator
    promote: Callable[[], Path]
    """The compiled pipeline that a yes starts."""
    notifier: Notifier
    settings: ApprovalSettings


@dataclass(frozen=True)
class Answered:
    """``run`` is the promotion that a yes started; ``notes`` what the approver should know."""

    request: ApprovalRequest
    run: Run | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """``new`` is false when the request had this answer already."""

    request: ApprovalRequest
    new: bool
    notes: tuple[str, ...] = ()


def answer(
    ports: DecisionPorts, request_id: str, answer: Answer, *, approver: str, reason: str
) -> Answered:
    """Record an answer, tell those who asked, and start the promotion of a yes.

    The same yes again returns the same run; after one that failed or was cancelled, a new run
    that goes on from where it stopped. Raises what ``decide`` raises.
    """
    decision = decide(
        ports.registry,
        ports.approvals,
        ports.recipes,
        request_id=request_id,
        answer=answer,
        approver=approver,
        reason=reason,
        settings=ports.settings,
    )
    request, notes = decision.request, decision.notes
    if decision.new and request.state is not ApprovalState.PENDING:
        ports.notifier.send(announce.answered(request))
    if not decision.new:
        notes = (*notes, f"approved already by {request.decided_by()}")
    if request.state is not ApprovalState.APPROVED:
        return Answered(request, None, notes)
    if decision.new:
        run = start_promotion(ports.runs, ports.approvals, ports.promote(), request)
        return Answered(request, run, notes)
    last = newest_promotions(ports.runs).get(request.id)
    run = carry_on(ports.runs, ports.approvals, ports.promote(), request, last)
    if last is not None and last.id != run.id:
        notes = (*notes, f"its promotion, run {last.id[:8]}, ended {last.state}: this is a new run")
    return Answered(request, run, notes)


def decide(
    registry: Registry,
    approvals: Approvals,
    recipes: Mapping[str, Recipe],
    *,
    request_id: str,
    answer: Answer,
    approver: str,
    reason: str,
    settings: ApprovalSettings,
) -> Decision:
    """Record ``approver``'s answer.

    Approving what is approved already changes nothing. Raises UsageError
    without a reason, NotAnApprover, AlreadyDecided, UnknownName, and
    ApprovalMissing when what was asked about has changed (the request is void then).
    """
    if not reason.strip():
        raise UsageError(
            "a decision needs a reason",
            where=f"approval {request_id}",
            fix=f"platform-ctl approval {answer} {request_id} --reason 'why'",
        )
    request = approvals.get(request_id)
    notes = check_approver(request, answer, approver, settings, approvals.anyone)
    if request.state is ApprovalState.APPROVED and answer is Answer.APPROVE:
        verify(registry, approvals, recipes, request.id)
        return Decision(request, new=False)
    if request.state is ApprovalState.PENDING and answer is Answer.APPROVE:
        void_if_changed(registry, approvals, recipes, request)
    vote = Vote(
        approver, answer, reason.strip(), datetime.now(UTC).isoformat(timespec="milliseconds")
    )
    voted = approvals.vote(request.id, vote, policy_of(settings))
    return Decision(voted, new=True, notes=notes)


def policy_of(settings: ApprovalSettings) -> Policy:
    """Who may approve, as the settings say now."""
    return Policy(
        frozenset(settings.approvers) if settings.approvers else None,
        settings.self_approval,
        2 if settings.second_person else 1,
    )


def check_approver(
    request: ApprovalRequest,
    answer: Answer,
    approver: str,
    settings: ApprovalSettings,
    anyone: str,
) -> tuple[str, ...]:
    """Notes on what was allowed; raises NotAnApprover. Anybody may reject their own.
    ``anyone``: who that is where no approver is named.

    The stricter of the policy when it was asked and the one now holds.
    """
    own = approver == request.requested_by
    policy = request.policy.stricter(policy_of(settings))
    if policy.approvers is not None and approver not in policy.approvers:
        if own and answer is Answer.REJECT:
            return ()
        raise _not_named(request, approver, policy)
    if answer is Answer.REJECT:
        return ()
    if own and not policy.self_approval:
        raise NotAnApprover(
            f"{approver} asked for this approval and may not give it",
            where="setting approval.self_approval",
            fix=f"ask another approver to run: platform-ctl approval show {request.id}",
        )
    notes = [SELF_APPROVAL_NOTE] if own else []
    return tuple(notes if policy.approvers is not None else [*notes, ANYONE_NOTE.format(anyone)])


def _not_named(request: ApprovalRequest, approver: str, policy: Policy) -> NotAnApprover:
    """Whom to ask instead; when nobody satisfies then and now, to ask again."""
    named = ", ".join(sorted(policy.approvers or ()))
    return NotAnApprover(
        f"{approver} is not one of the approvers: {named}"
        if named
        else f"nobody who could approve {request.id} when it was asked may do so now",
        where="setting approval.approvers",
        fix=f"ask one of them to run: platform-ctl approval show {request.id}"
        if named
        else f"platform-ctl approval reject {request.id} --reason 'asked anew' "
        f"&& platform-ctl approval request {request.reference}",
    )


def verify(
    registry: Registry, approvals: Approvals, recipes: Mapping[str, Recipe], request_id: str
) -> ApprovalRequest:
    """The request, if it is approved and everything it binds is unchanged.

    Raises ApprovalMissing otherwise; a change voids the approval for good.
    """
    request = approvals.get(request_id)
    if request.state is not ApprovalState.APPROVED:
        open_still = request.state is ApprovalState.PENDING
        raise ApprovalMissing(
            f"request {request.id} is {request.state}, not approved"
            + (f": {request.reason}" if request.reason else ""),
            where=f"{request.reference}, approval {request.id}",
            fix=f"platform-ctl approval show {request.id}"
            if open_still
            else f"platform-ctl approval request {request.reference}",
        )
    void_if_changed(registry, approvals, recipes, request)
    return request


def void_if_changed(
    registry: Registry,
    approvals: Approvals,
    recipes: Mapping[str, Recipe],
    request: ApprovalRequest,
) -> None:
    """Void the request and raise ApprovalMissing when its subject is not what it was."""
    changes = subject_changes(registry, recipes, request)
    if not changes:
        return
    voided = approvals.void(request.id, "; ".join(changes))
    raise ApprovalMissing(
        f"request {request.id} is void: {voided.reason}",
        where=f"{request.reference}, approval {request.id}",
        fix=f"platform-ctl approval request {request.reference}",
    )


def subject_changes(
    registry: Registry, recipes: Mapping[str, Recipe], request: ApprovalRequest
) -> list[str]:
    """Sentences on what differs from what was asked about; none once the answer was no.

    Raises what the registry raises when it cannot be read: that is no change.
    """
    if request.state not in (ApprovalState.PENDING, ApprovalState.APPROVED):
        return []
    recipe = recipes.get(request.recipe)
    if recipe is None:
        return [f"the recipe {request.recipe} is gone"]
    try:
        version = find_version(registry.models(), request.reference)
        return request.subject.changes(current_subject(registry, recipe, version))
    except (NoSuchModel, EvidenceMismatch) as exc:
        return [exc.what]


def as_they_stand(
    registry: Registry, recipes: Mapping[str, Recipe], requests: Sequence[ApprovalRequest]
) -> list[ApprovalRequest]:
    """The requests as a list shows them: what an answer would find void is void. Writes nothing.

    While the registry cannot be read, a request is shown as it is stored.
    """
    return [_as_it_stands(registry, recipes, request) for request in requests]


def _as_it_stands(
    registry: Registry, recipes: Mapping[str, Recipe], request: ApprovalRequest
) -> ApprovalRequest:
    waits = request.state is ApprovalState.PENDING
    if not waits and (request.state is not ApprovalState.APPROVED or request.promotion_id):
        return request
    try:
        changes = subject_changes(registry, recipes, request)
    except PlatformError:
        return request
    if not changes:
        return request
    return replace(request, state=ApprovalState.VOID, reason="; ".join(changes))


def void_outdated(registry: Registry, approvals: Approvals, model: str) -> None:
    """Void what waits for an answer about another champion than the one there is now.

    Called when the champion has changed, so that every list and metric says so at once.
    """
    champion = champion_of(registry, model)
    for request in approvals.list():
        if request.model != model or request.state is not ApprovalState.PENDING:
            continue
        if champion.partition(" ")[0] == request.version:
            continue
        changes = request.subject.changes(replace(request.subject, champion=champion))
        if changes:
            approvals.void(request.id, "; ".join(changes))
