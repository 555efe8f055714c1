"""Finding one request by what a person types."""

from __future__ import annotations

from collections.abc import Sequence

from platform_ctl.approvals.request import ApprovalRequest
from platform_ctl.errors import NothingYet, PlatformError, unknown_id


def find_request(requests: Sequence[ApprovalRequest], typed: str) -> ApprovalRequest:
    """By id, unique prefix, or ``latest`` (``requests`` are newest first).

    Raises UnknownName, and NothingYet where there is none at all.
    """
    if typed == "latest" and requests:
        return requests[0]
    found = [r for r in requests if typed and r.id.startswith(typed)]
    if len(found) == 1:
        return found[0]
    raise no_such_request(typed, [r.id for r in requests], where="approvals")


def no_such_request(typed: str, ids: Sequence[str], *, where: str) -> PlatformError:
    """The error to raise for what is no one of ``ids``: UnknownName, and NothingYet without any."""
    if not ids:
        return NothingYet(
            f"there is no approval request yet, so there is no {typed!r}",
            where=where,
            fix="platform-ctl pipeline list",
        )
    return unknown_id("approval request", typed, ids, where=where, fix="platform-ctl approval list")
