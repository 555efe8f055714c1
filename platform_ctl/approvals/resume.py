"""Decisions whose process died, before their promotion began or in the middle of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from platform_ctl.approvals.decide import start_promotion
from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.request import ApprovalState
from platform_ctl.runs.port import Orchestrator, RunReader
from platform_ctl.runs.record import Run

_NEWEST_RUNS = 500
"""Among which a promotion that died is looked for."""


def resume_promotions(
    orchestrator: Orchestrator, approvals: Approvals, pipeline: Callable[[], Path]
) -> list[Run]:
    """Every promotion of a standing approval that had no process, as it is after the attempt.

    That is one that died, and one that was never begun because whoever approved
    died first. A run that fails by itself is left alone, and so is one that
    died again after it was continued: it is returned as it is, failed.
    ``pipeline`` is called when there is something to do.
    """
    dead = {r.parameters.get("approval_id") for r in orchestrator.list(_NEWEST_RUNS) if r.died}
    standing = [r for r in approvals.list() if r.state is ApprovalState.APPROVED]
    left = [r for r in standing if r.id in dead or not r.promotion_id]
    return [start_promotion(orchestrator, approvals, pipeline(), request) for request in left]


def interrupted(runs: RunReader, approvals: Approvals) -> list[str]:
    """What ``resume_promotions`` would carry on, as sentences. Changes nothing."""
    dead = {r.parameters.get("approval_id"): r for r in runs.list(_NEWEST_RUNS) if r.died}
    found = []
    for request in approvals.list():
        if request.state is not ApprovalState.APPROVED:
            continue
        if request.id in dead:
            run = dead[request.id]
            found.append(f"the promotion of {request.reference} died (run {run.id[:8]})")
        elif not request.promotion_id:
            found.append(f"the promotion of {request.reference} was never started")
    return found
