"""The ``promote`` runs of an approval: one at a time, and another one after one that failed."""

from __future__ import annotations

from pathlib import Path

from platform_ctl.approvals.port import Approvals
from platform_ctl.approvals.request import ApprovalRequest
from platform_ctl.runs.port import Orchestrator, RunReader
from platform_ctl.runs.record import Run, RunRequest, RunState

_NEWEST_RUNS = 500
"""Among which the promotions of approvals are looked for."""


def start_promotion(
    orchestrator: Orchestrator,
    approvals: Approvals,
    pipeline: Path,
    request: ApprovalRequest,
    *,
    stop_at_percent: int = 0,
) -> Run:
    """The ``promote`` run of an approved request; the same one however often it is asked for.

    One whose process died is continued. ``stop_at_percent``: hold the canary at that share
    of the traffic; 0 goes on to the end.
    """
    run = orchestrator.submit(_wanted(pipeline, request.id, request.reference, stop_at_percent))
    if not request.promotion_id:
        approvals.started(request.id, run.id)
    return run


def carry_on(
    orchestrator: Orchestrator,
    approvals: Approvals,
    pipeline: Path,
    request: ApprovalRequest,
    last: Run | None,
    *,
    stop_at_percent: int = 0,
) -> Run:
    """The promotion as a person wants it who asks once more: the one that is at work or has
    succeeded, else a new run. ``last``: its newest run.

    A run whose process died is continued first. Nothing that acts by itself calls this: a
    promotion that fails is not repeated until somebody types it.
    """
    run = last
    if run is None or run.died:
        run = resume_promotion(
            orchestrator, approvals, pipeline, request, run, stop_at_percent=stop_at_percent
        )
    if run.state not in (RunState.FAILED, RunState.CANCELED):
        return run
    return continue_promotion(
        orchestrator, pipeline, request.id, request.reference, run, stop_at_percent=stop_at_percent
    )


def resume_promotion(
    orchestrator: Orchestrator,
    approvals: Approvals,
    pipeline: Path,
    request: ApprovalRequest,
    died: Run | None,
    *,
    stop_at_percent: int = 0,
) -> Run:
    """The promotion whose process died, as it is after the attempt; None: one never begun."""
    if died is None or request.promotion_id in ("", died.id):
        return start_promotion(
            orchestrator, approvals, pipeline, request, stop_at_percent=stop_at_percent
        )
    # The run of a `release continue`: the next one takes the release up.
    return continue_promotion(
        orchestrator, pipeline, request.id, request.reference, died, stop_at_percent=stop_at_percent
    )


def continue_promotion(
    orchestrator: Orchestrator,
    pipeline: Path,
    approval_id: str,
    reference: str,
    last: Run | None,
    *,
    stop_at_percent: int = 0,
) -> Run:
    """The run of an approval that is at work, else a new one, which takes its release up where
    that stands. ``last``: its newest run.

    The key of the new one names the run before it: two callers start one run, and each run that
    failed can be followed by another one.
    """
    if last is not None and not last.state.final:
        return last
    after = last.id if last is not None else ""
    return orchestrator.submit(
        _wanted(pipeline, approval_id, reference, stop_at_percent, after=after)
    )


def newest_promotions(runs: RunReader) -> dict[str, Run]:
    """The newest run that carries out each approval, by the id of the approval."""
    promotions = ((r.parameters.get("approval_id"), r) for r in reversed(runs.list(_NEWEST_RUNS)))
    return {str(approval): run for approval, run in promotions if approval}


def _wanted(
    pipeline: Path, approval_id: str, reference: str, stop_at_percent: int, *, after: str = ""
) -> RunRequest:
    stop = {"stop_at_percent": stop_at_percent} if stop_at_percent else {}
    key = f"promote-{approval_id}"
    return RunRequest(
        pipeline=pipeline,
        parameters={"approval_id": approval_id, **stop},
        name=f"promote {reference}",
        idempotency_key=f"{key}-after-{after}" if after else key,
    )
