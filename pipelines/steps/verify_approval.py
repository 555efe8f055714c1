"""The approval stands, and what it was given to is what there is."""

from __future__ import annotations

from platform_ctl import targets
from platform_ctl.approvals.decide import verify


def run(approval_id: str) -> tuple[str, str, str]:
    """-> model name, version, one line. Raises ApprovalMissing."""
    settings = targets.current_settings()
    approved = verify(
        targets.registry(settings),
        targets.approvals(settings),
        targets.recipes(settings),
        approval_id,
    )
    line = f"{approved.reference} approved by {', '.join(v.approver for v in approved.votes)}"
    return approved.model, approved.version, line
