"""Builds the notifications about approvals: what is needed to decide, and the commands."""

from __future__ import annotations

from collections.abc import Sequence

from platform_ctl.approvals.compare import ComparisonRow
from platform_ctl.approvals.notifier import Notification
from platform_ctl.approvals.request import ApprovalRequest
from platform_ctl.text import moment, visible


def waiting(
    request: ApprovalRequest, comparison: Sequence[ComparisonRow], note: str = ""
) -> Notification:
    """A request that waits for an answer; ``note`` is said before the figures."""
    lines = [note] * bool(note) + [_figures(row) for row in comparison]
    asked_by = visible(request.requested_by)
    if request.approvals_needed > 1:
        lines.insert(0, f"It takes {request.approvals_needed} different people.")
    return Notification(
        key=f"approval-{request.id}-pending",
        title=f"{request.reference} waits for approval",
        body="\n".join(
            [
                f"Asked by {asked_by}; no answer by {moment(request.expires_at)} means no.",
                *lines,
                f"platform-ctl approval show {request.id}",
                f"platform-ctl approval approve {request.id} --reason '...'",
                f"platform-ctl approval reject {request.id} --reason '...'",
            ]
        ),
        priority=4,
        tags=("hourglass",),
    )


def answered(request: ApprovalRequest) -> Notification:
    """A request that has its answer."""
    return Notification(
        key=f"approval-{request.id}-{request.state}",
        title=f"{request.reference} is {request.state}",
        body=f"By {visible(request.decided_by()) or 'nobody'}: {visible(request.reason)}",
        tags=("white_check_mark" if request.state == "approved" else "no_entry",),
    )


def _figures(row: ComparisonRow) -> str:
    others = [("champion", row.champion), ("best baseline", row.baseline)]
    compared = ", ".join(f"{name} {value:.3f}" for name, value in others if value is not None)
    mine = "-" if row.candidate is None else f"{row.candidate:.3f}"
    return f"{row.name}: {mine} ({compared})" if compared else f"{row.name}: {mine}"
