"""The approval stands, and what it was given to is what there is."""

from __future__ import annotations

from platform_ctl import targets
from platform_ctl.approvals.decide import verify
from platform_ctl.errors import ApprovalMissing
from platform_ctl.models.model import PRODUCTION, find_version
from platform_ctl.models.port import Registry


def run(approval_id: str, model_version: str) -> tuple[str, str, str]:
    """-> model name, version, one line. Raises ApprovalMissing.

    Without an approval, ``model_version`` must be in production already.
    """
    settings = targets.current_settings()
    if not approval_id:
        return _in_production(targets.registry(settings), model_version)
    approved = verify(
        targets.registry(settings),
        targets.approvals(settings),
        targets.recipes(settings),
        approval_id,
    )
    line = f"{approved.reference} approved by {', '.join(v.approver for v in approved.votes)}"
    return approved.model, approved.version, line


def _in_production(registry: Registry, reference: str) -> tuple[str, str, str]:
    version = find_version(registry.models(), reference)
    if PRODUCTION not in version.aliases:
        raise ApprovalMissing(
            f"{version} is not in production, and there is no approval",
            where="promote",
            fix=f"platform-ctl approval request {version}",
        )
    return version.name, version.version, f"{version} is in production already"
