"""Counting answers: which of them count, and the refusal of one that comes too late."""

from __future__ import annotations

from platform_ctl.approvals.request import Answer, ApprovalRequest, ApprovalState, Policy
from platform_ctl.errors import AlreadyDecided
from platform_ctl.text import moment


def is_enough(request: ApprovalRequest, policy: Policy | None) -> bool:
    """Whether the approvals that count are as many as are needed, by the request's policy and
    the one in force now."""
    strictest = request.policy.stricter(policy) if policy else request.policy
    approving = sum(v.answer is Answer.APPROVE for v in request.votes)
    return approving - len(uncounted(request, strictest)) >= strictest.approvals_needed


def uncounted(request: ApprovalRequest, policy: Policy) -> list[str]:
    """Those who approved and whose yes does not count under ``policy``."""
    yes = [v.approver for v in request.votes if v.answer is Answer.APPROVE]
    return [name for name in yes if not policy.allows(name, request.requested_by)]


def decided(request: ApprovalRequest) -> AlreadyDecided:
    """The error that says who answered, when, and what."""
    who = f" by {request.decided_by()}" if request.votes else ""
    approved = request.state is ApprovalState.APPROVED
    again = f"show {request.id}" if approved else f"request {request.reference}"
    return AlreadyDecided(
        f"request {request.id} is {request.state}{who} since {moment(request.decided_at)}: "
        f"{request.reason}",
        where=f"{request.reference}, approval {request.id}",
        fix=f"platform-ctl approval {again}",
    )


def answered_already(request: ApprovalRequest, approver: str) -> AlreadyDecided:
    """The error for a second answer of one person, where two people are needed."""
    return AlreadyDecided(
        f"{approver} has answered request {request.id} already; it needs a second person",
        where=f"approval {request.id}",
        fix=f"platform-ctl approval show {request.id}",
    )
