"""Finding one request by what a person types."""

from __future__ import annotations

from collections.abc import Sequence

from platform_ctl.approvals.request import ApprovalRequest, ApprovalState
from platform_ctl.errors import NothingYet, PlatformError, UnknownName, unknown_id

LATEST = "latest"


def find_request(requests: Sequence[ApprovalRequest], typed: str) -> ApprovalRequest:
    """By id, unique prefix, or ``latest`` (``requests`` are newest first).

    ``latest`` is the newest request, and refused while a request of another model waits:
    whoever types it may mean that one, and an answer is not taken back.
    Raises UnknownName, and NothingYet where there is none at all.
    """
    if typed == LATEST and requests:
        return _newest(requests)
    matching = [r for r in requests if typed and r.id.startswith(typed)]
    if len(matching) == 1:
        return matching[0]
    raise no_such_request(typed, [r.id for r in requests], where="approvals")


def _newest(requests: Sequence[ApprovalRequest]) -> ApprovalRequest:
    newest = requests[0]
    others = [
        request
        for request in requests
        if request.state is ApprovalState.PENDING and request.model != newest.model
    ]
    if not others:
        return newest
    each = ", ".join(f"{r.id} ({r.reference}, {r.state})" for r in [newest, *others])
    raise UnknownName(
        f"{LATEST!r} may mean requests of more than one model; type one of: {each}",
        where="approvals",
        fix="platform-ctl approval list",
    )


def no_such_request(typed: str, ids: Sequence[str], *, where: str) -> PlatformError:
    """The error to raise for what is no one of ``ids``: UnknownName, and NothingYet without any."""
    if not ids:
        return NothingYet(
            f"there is no approval request yet, so there is no {typed!r}",
            where=where,
            fix="platform-ctl pipeline list",
        )
    return unknown_id("approval request", typed, ids, where=where, fix="platform-ctl approval list")
