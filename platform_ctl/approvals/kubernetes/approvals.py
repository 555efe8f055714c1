"""Approvals in a namespace of a cluster.

Every write names the version of the object that it read, so etcd decides who was first. Who
answers is the account of the connection: the API server refuses an answer in another's name
(``infra/tier6/platform/policies/approvals.yaml``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from platform_ctl.approvals.expiry import iso
from platform_ctl.approvals.find import find_request
from platform_ctl.approvals.kubernetes.resource import (
    APPROVAL,
    MODEL_LABEL,
    VERSION_LABEL,
    manifest,
    request_of,
    vote_of,
)
from platform_ctl.approvals.request import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    Policy,
    Vote,
    request_id,
)
from platform_ctl.approvals.vote import answered_already, decided, uncounted
from platform_ctl.cluster.api import Cluster, Conflict, Object
from platform_ctl.errors import ClusterForbidden, ClusterRefused

_OPEN = (ApprovalState.PENDING, ApprovalState.APPROVED)
_ATTEMPTS = 20
"""Writes that lost a race before the last refusal is raised."""


class ClusterApprovals:
    """Implements ``approvals.port.Approvals``. Raises the errors of ``cluster.api`` too."""

    anyone = "whoever has the role platform-approver"

    def __init__(
        self,
        cluster: Cluster,
        *,
        expires_h: float | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``expires_h``: what the settings say now; the earlier expiry of then and now holds."""
        self._cluster = cluster
        self._expires = None if expires_h is None else timedelta(hours=expires_h)
        self._clock = clock

    def open(self, request: ApprovalRequest) -> ApprovalRequest:
        """Two who ask at once give the same id, and etcd takes one of them."""
        labels = f"{MODEL_LABEL}={request.model},{VERSION_LABEL}={request.version}"
        while True:
            about = [
                earlier
                for earlier in map(self._request, self._cluster.list(APPROVAL, labels=labels))
                if earlier.subject == request.subject
            ]
            pending = next((r for r in about if r.state is ApprovalState.PENDING), None)
            if pending is not None:
                return pending
            taken = any(r.id == request.id for r in about)
            name = request_id(request, len(about)) if taken else request.id
            created = self._cluster.create(manifest(request, name))
            if created is not None:
                return self._request(created)

    def get(self, request_id: str) -> ApprovalRequest:
        return find_request(self.list(), request_id)

    def list(self) -> Sequence[ApprovalRequest]:
        requests = map(self._request, self._cluster.list(APPROVAL))
        return sorted(requests, key=lambda r: r.requested_at, reverse=True)

    def vote(self, request_id: str, vote: Vote, policy: Policy | None = None) -> ApprovalRequest:
        name = self.get(request_id).id

        def change(approval: Object) -> Object:
            request = self._request(approval)
            if request.state is not ApprovalState.PENDING:
                raise decided(request)
            if any(v.approver == vote.approver for v in request.votes):
                raise answered_already(request, vote.approver)
            spec: Object = {"votes": [*approval["spec"].get("votes", []), vote_of(vote)]}
            if policy is not None and vote.answer is Answer.APPROVE:
                not_counted = approval["spec"].get("notCounted", [])
                spec["notCounted"] = sorted({*not_counted, *uncounted(request, policy)})
                spec["approvalsNeeded"] = max(request.approvals_needed, policy.approvals_needed)
            return {"spec": spec}

        return self._request(self._change(name, change))

    def void(self, request_id: str, reason: str, *, release_id: str = "") -> ApprovalRequest:
        name = self.get(request_id).id

        def change(approval: Object) -> Object:
            if self._request(approval).state not in _OPEN:
                return {}
            voided = {"at": iso(self._clock()), "reason": reason}
            if release_id:
                voided["releaseId"] = release_id
            return {"status": {"state": str(ApprovalState.VOID), "voided": voided}}

        return self._request(self._change(name, change, subresource="status"))

    def started(self, request_id: str, run_id: str) -> None:
        """Noted by whom RBAC lets write the status; for anybody else the controller notes it."""
        name = self.get(request_id).id

        def change(approval: Object) -> Object:
            return {} if approval.get("status", {}).get("runId") else {"status": {"runId": run_id}}

        with contextlib.suppress(ClusterForbidden):
            self._change(name, change, subresource="status")

    def publish(self, request: ApprovalRequest) -> None:
        """Write the state of a request into its status, for ``kubectl get``."""

        def change(approval: Object) -> Object:
            shown = approval.get("status", {})
            now = {"state": str(request.state)}
            if request.decided_at:
                now |= {"decidedAt": request.decided_at, "reason": request.reason}
            return {} if now.items() <= shown.items() else {"status": now}

        self._change(request.id, change, subresource="status")

    def _change(
        self, name: str, change: Callable[[Object], Object], *, subresource: str = ""
    ) -> Object:
        """Merge what ``change`` makes of the object as it is; again where somebody was quicker.

        An empty change writes nothing.
        """
        lost: Conflict | None = None
        for _ in range(_ATTEMPTS):
            approval = self._cluster.get(APPROVAL, name)
            if approval is None:
                raise ClusterRefused(
                    f"the approval {name} was deleted meanwhile",
                    where=self._cluster.server,
                    fix="platform-ctl approval list",
                )
            wanted = change(approval)
            if not wanted:
                return approval
            version = {"resourceVersion": approval["metadata"]["resourceVersion"]}
            try:
                return self._cluster.patch(
                    APPROVAL, name, {**wanted, "metadata": version}, subresource=subresource
                )
            except Conflict as exc:
                lost = exc
        assert lost is not None
        raise lost

    def _request(self, approval: Object) -> ApprovalRequest:
        return request_of(approval, self._clock(), self._expires)
