"""An ``Approval`` of ``platform.abukix.dev/v1alpha1`` as a request, and back.

The schema is ``infra/tier6/platform/crds/approvals.yaml``. The state of a request is computed
from its answers: the status repeats it for ``kubectl get`` and adds what only the platform
knows, that it is void and which run it started.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from platform_ctl.approvals.expiry import at_moment
from platform_ctl.approvals.request import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    Subject,
    Vote,
)
from platform_ctl.cluster.api import Object, ResourceKind

GROUP_VERSION = "platform.abukix.dev/v1alpha1"
APPROVAL = ResourceKind(GROUP_VERSION, "Approval", "approvals")
MODEL_LABEL = "platform.abukix.dev/model"
VERSION_LABEL = "platform.abukix.dev/version"


def manifest(request: ApprovalRequest, name: str) -> dict[str, Any]:
    """The object of a new request."""
    subject = request.subject
    return {
        "apiVersion": GROUP_VERSION,
        "kind": APPROVAL.kind,
        "metadata": {
            "name": name,
            "labels": {MODEL_LABEL: request.model, VERSION_LABEL: request.version},
        },
        "spec": {
            "model": request.model,
            "version": request.version,
            "recipe": request.recipe,
            "subject": {
                "model": subject.model,
                "evaluation": subject.evaluation,
                "dataSnapshot": subject.data_snapshot,
                "canaryPlan": subject.canary_plan,
                "champion": subject.champion,
            },
            "requestedBy": request.requested_by,
            "requestedAt": request.requested_at,
            "expiresAt": request.expires_at,
            "approvalsNeeded": request.approvals_needed,
            "approvers": list(request.approvers),
            "selfApproval": request.self_approval,
        },
    }


def vote_of(vote: Vote) -> dict[str, str]:
    """An answer as an item of ``spec.votes``."""
    return {
        "by": vote.approver,
        "answer": str(vote.answer),
        "reason": vote.reason,
        "at": vote.at,
    }


def request_of(
    approval: Object, now: datetime, expires: timedelta | None = None
) -> ApprovalRequest:
    """The request that an object holds, in the state that it has at ``now``."""
    spec, status = approval["spec"], approval.get("status", {})
    subject = spec["subject"]
    request = ApprovalRequest(
        id=approval["metadata"]["name"],
        model=spec["model"],
        version=spec["version"],
        recipe=spec["recipe"],
        subject=Subject(
            subject["model"],
            subject["evaluation"],
            subject["dataSnapshot"],
            subject["canaryPlan"],
            subject["champion"],
        ),
        state=ApprovalState.PENDING,
        requested_by=spec["requestedBy"],
        requested_at=spec["requestedAt"],
        expires_at=spec["expiresAt"],
        approvals_needed=spec.get("approvalsNeeded", 1),
        votes=tuple(_vote(v, approval) for v in spec.get("votes", [])),
        approvers=tuple(spec.get("approvers", [])),
        self_approval=spec.get("selfApproval", False),
        promotion_id=status.get("runId", ""),
    )
    return at_moment(_decided(request, spec, status), now, expires)


def _decided(
    request: ApprovalRequest, spec: Mapping[str, Any], status: Mapping[str, Any]
) -> ApprovalRequest:
    """The request with the decision that its answers make, or void where the status says so."""
    if voided := status.get("voided"):
        return replace(
            request,
            state=ApprovalState.VOID,
            decided_at=voided["at"],
            reason=voided["reason"],
            release_id=voided.get("releaseId", ""),
        )
    decision = next((v for v in request.votes if v.answer is Answer.REJECT), None)
    state = ApprovalState.REJECTED
    counted = [v for v in request.votes if v.approver not in spec.get("notCounted", [])]
    if decision is None and len(counted) >= request.approvals_needed:
        decision, state = request.votes[-1], ApprovalState.APPROVED
    if decision is None:
        return request
    return replace(request, state=state, decided_at=decision.at, reason=decision.reason)


def _vote(vote: Mapping[str, Any], approval: Object) -> Vote:
    at = vote.get("at") or _last_write(approval)
    return Vote(vote["by"], Answer(vote["answer"]), vote["reason"], at)


def _last_write(approval: Object) -> str:
    """When the spec was written last: the moment of an answer that does not give its own."""
    writes = [
        m["time"]
        for m in approval["metadata"].get("managedFields", [])
        if "time" in m and not m.get("subresource")
    ]
    return max(writes, default=approval["metadata"].get("creationTimestamp", ""))
