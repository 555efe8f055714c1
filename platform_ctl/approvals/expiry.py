"""What a pending request is at a moment: still pending, or expired."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from platform_ctl.approvals.request import ApprovalRequest, ApprovalState

EXPIRED = "nobody answered in time"
CLOCK_BACK = "its request time is in the future (the clock was set back): it counts as not answered"
CLOCK_TOLERANCE = timedelta(minutes=5)
"""A clock that is corrected by less than this was not set back."""


def at_moment(
    request: ApprovalRequest, now: datetime, expires: timedelta | None = None
) -> ApprovalRequest:
    """A pending request with the expiry that holds now, expired where that has passed.

    ``expires``: how long a request may wait by the settings of now; the earlier moment holds.
    Any other request is returned as it is.
    """
    if request.state is not ApprovalState.PENDING:
        return request
    expires_at, moment = request.expires_at, iso(now)
    if expires is not None:
        expires_at = min(expires_at, iso(datetime.fromisoformat(request.requested_at) + expires))
    future = request.requested_at > iso(now + CLOCK_TOLERANCE)
    if not future and expires_at > moment:
        return replace(request, expires_at=expires_at)
    return replace(
        request,
        state=ApprovalState.EXPIRED,
        decided_at=min(request.expires_at, moment),
        reason=CLOCK_BACK if future else EXPIRED,
    )


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
