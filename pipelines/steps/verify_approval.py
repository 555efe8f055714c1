"""The approval stands, and what it was given to is what there is."""

from __future__ import annotations

from platform_ctl import targets
from platform_ctl.releases.deploy import require_promotable


def run(approval_id: str, model_version: str) -> tuple[str, str, str]:
    """-> model name, version, one line. Raises ApprovalMissing.

    Without an approval, ``model_version`` must be in production already.
    """
    settings = targets.current_settings()
    return require_promotable(
        targets.registry(settings),
        targets.approvals(settings),
        targets.recipes(settings),
        approval_id,
        model_version,
    )
