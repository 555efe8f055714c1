"""Continue promotions whose process died: a decision is carried out without being repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from platform_ctl.domain.approvals import ApprovalState
from platform_ctl.domain.runs import Run
from platform_ctl.operations.approve import start_promotion
from platform_ctl.ports.approvals import Approvals
from platform_ctl.ports.orchestrator import Orchestrator

_NEWEST_RUNS = 500
"""Among which a promotion that died is looked for."""


def resume_promotions(
    orchestrator: Orchestrator, approvals: Approvals, pipeline: Callable[[], Path]
) -> list[Run]:
    """Every promotion of a standing approval whose process died, as it is after the attempt.

    A run that fails by itself is left alone, and so is one that died again after
    it was continued: it is returned as it is, failed. ``pipeline`` is called
    when there is something to do.
    """
    dead = {r.parameters.get("approval_id") for r in orchestrator.list(_NEWEST_RUNS) if r.died}
    if not dead:
        return []
    standing = [r for r in approvals.list() if r.state is ApprovalState.APPROVED and r.id in dead]
    return [start_promotion(orchestrator, pipeline(), request) for request in standing]
