"""Decisions whose process died, before their promotion began or in the middle of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.promotion import newest_promotions, resume_promotion
from platform_ctl.approvals.request import ApprovalRequest, ApprovalState
from platform_ctl.runs.port import Orchestrator, RunReader
from platform_ctl.runs.record import Run


def resume_promotions(
    orchestrator: Orchestrator, approvals: Approvals, pipeline: Callable[[], Path]
) -> list[Run]:
    """Every promotion of a standing approval that had no process, as it is after the attempt.

    That is one that died, and one that was never begun because whoever approved
    died first. A run that fails by itself is left alone, and so is one that
    died again after it was continued: it is returned as it is, failed.
    ``pipeline`` is called when there is something to do.
    """
    return [
        resume_promotion(orchestrator, approvals, pipeline(), request, died)
        for request, died in _without_process(orchestrator, approvals)
    ]


def interrupted(runs: RunReader, approvals: Approvals) -> list[str]:
    """What ``resume_promotions`` would carry on, as sentences. Changes nothing."""
    return [
        f"the promotion of {request.reference} "
        + (f"died (run {died.id[:8]})" if died else "was never started")
        for request, died in _without_process(runs, approvals)
    ]


def _without_process(
    runs: RunReader, approvals: Approvals
) -> list[tuple[ApprovalRequest, Run | None]]:
    """Standing approvals that nothing carries out, with the run that died; None for one that
    was never begun."""
    newest = newest_promotions(runs)
    standing = [r for r in approvals.list() if r.state is ApprovalState.APPROVED]
    requests: list[tuple[ApprovalRequest, Run | None]] = []
    for request in standing:
        run = newest.get(request.id)
        if run is not None and run.died:
            requests.append((request, run))
        elif not request.promotion_id:
            requests.append((request, None))
    return requests
