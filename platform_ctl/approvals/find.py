"""Finding one request by what a person types."""

from __future__ import annotations

from collections.abc import Sequence

from platform_ctl.approvals.request import ApprovalRequest
from platform_ctl.errors import NothingYet, unknown_id


def find_request(requests: Sequence[ApprovalRequest], typed: str) -> ApprovalRequest:
    """By id, unique prefix, or ``latest`` (``requests`` are newest first).

    Raises UnknownName, and NothingYet where there is none at all.
    """
    if not requests:
        raise NothingYet(
            f"there is no approval request yet, so there is no {typed!r}",
            where="approvals",
            fix="platform-ctl pipeline list",
        )
    if typed == "latest":
        return requests[0]
    found = [r for r in requests if typed and r.id.startswith(typed)]
    if len(found) == 1:
        return found[0]
    raise unknown_id(
        "approval request",
        typed,
        [r.id for r in requests],
        where="approvals",
        fix="platform-ctl approval list",
    )
