"""Approvals in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from platform_ctl.approvals.expiry import at_moment, iso
from platform_ctl.approvals.find import find_request
from platform_ctl.approvals.request import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    Policy,
    Vote,
    request_id,
)
from platform_ctl.approvals.vote import answered_already, decided, is_enough
from platform_ctl.errors import PlatformError


class FakeApprovals:
    """Implements ``approvals.port.Approvals``. ``refuse``: what every write is answered with."""

    anyone = "whoever runs this test"

    def __init__(
        self,
        *,
        expires_h: float | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        refuse: PlatformError | None = None,
        requests: list[ApprovalRequest] | None = None,
    ) -> None:
        """``requests``: where another instance keeps its own."""
        self._requests = [] if requests is None else requests
        self._expires = None if expires_h is None else timedelta(hours=expires_h)
        self._clock = clock
        self._refuse = refuse
        self._lock = threading.RLock()

    def open(self, request: ApprovalRequest) -> ApprovalRequest:
        with self._writing():
            for found in self.list():
                same = found.reference == request.reference and found.subject == request.subject
                if same and found.state is ApprovalState.PENDING:
                    return found
            if any(r.id == request.id for r in self._requests):
                request = replace(request, id=request_id(request, len(self._requests)))
            self._requests.append(request)
            return self.get(request.id)

    def get(self, request_id: str) -> ApprovalRequest:
        return find_request(self.list(), request_id)

    def list(self) -> Sequence[ApprovalRequest]:
        newest = sorted(reversed(self._requests), key=lambda r: r.requested_at, reverse=True)
        return [at_moment(r, self._clock(), self._expires) for r in newest]

    def vote(self, request_id: str, vote: Vote, policy: Policy | None = None) -> ApprovalRequest:
        with self._writing():
            request = self.get(request_id)
            if request.state is not ApprovalState.PENDING:
                raise decided(request)
            if any(v.approver == vote.approver for v in request.votes):
                raise answered_already(request, vote.approver)
            voted = replace(request, votes=(*request.votes, vote))
            done = {"decided_at": vote.at, "reason": vote.reason}
            if vote.answer is Answer.REJECT:
                voted = replace(voted, state=ApprovalState.REJECTED, **done)
            elif is_enough(voted, policy):
                voted = replace(voted, state=ApprovalState.APPROVED, **done)
            return self._store(voted)

    def void(self, request_id: str, reason: str, *, release_id: str = "") -> ApprovalRequest:
        with self._writing():
            request = self.get(request_id)
            if request.state not in (ApprovalState.PENDING, ApprovalState.APPROVED):
                return request
            return self._store(
                replace(
                    request,
                    state=ApprovalState.VOID,
                    decided_at=iso(self._clock()),
                    reason=reason,
                    release_id=release_id,
                )
            )

    def started(self, request_id: str, run_id: str) -> None:
        with self._writing():
            request = self.get(request_id)
            self._store(replace(request, promotion_id=request.promotion_id or run_id))

    def _writing(self) -> threading.RLock:
        if self._refuse is not None:
            raise self._refuse
        return self._lock

    def _store(self, request: ApprovalRequest) -> ApprovalRequest:
        at = [r.id for r in self._requests].index(request.id)
        self._requests[at] = request
        return request
