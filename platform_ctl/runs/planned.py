"""The steps of a run's pipeline, those that it has not come to, too."""

from __future__ import annotations

from pathlib import Path

from platform_ctl.errors import PlatformError
from platform_ctl.ir import file as ir_file
from platform_ctl.ir.pipeline import planned_leaves
from platform_ctl.runs.port import RunReader
from platform_ctl.runs.record import Run


def planned_steps(runs: RunReader, run: Run) -> list[str]:
    """Their paths in the order of the flow. Empty where nobody needs it, as every step of a run
    that has ended was started, and where the run's pipeline is gone."""
    if run.state.final and all(t.started_at for t in run.tasks):
        return []
    try:
        return planned_leaves(ir_file.parse(runs.pipeline_file(run.id), Path(run.pipeline)))
    except PlatformError:
        return []
