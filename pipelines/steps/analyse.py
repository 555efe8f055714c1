"""Step the canary up, judging at each weight."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl import targets
from platform_ctl.recipe.verdict import Verdict
from platform_ctl.releases.analyse import run_analysis
from platform_ctl.releases.release import ReleaseState
from platform_ctl.runs.step import StepContext
from platform_ctl.text import visible

if TYPE_CHECKING:
    from kfp import dsl


def run(
    release_id: str, stop_at_percent: int, run_id: str, task: str, log: dsl.Artifact
) -> tuple[str, list[str]]:
    """-> verdict, reasons. ``log.path`` holds every look's figures as JSON."""
    settings = targets.current_settings()
    ports = targets.releasing(settings)
    release = ports.releases.get(release_id)
    if release.state is ReleaseState.PROMOTED:  # by a human, while this run was dead
        events = [dataclasses.asdict(e) for e in ports.releases.events(release_id)]
        Path(log.path).write_text(json.dumps(events, indent=2, default=str))
        return str(Verdict.SUCCESSFUL), ["the release was promoted already"]
    with targets.canary_cost(settings, StepContext(run_id, task), release.target.service):
        analysed = run_analysis(
            ports,
            release_id,
            stop_at_percent=stop_at_percent,
            on_progress=lambda line: sys.stderr.write(f"{visible(line)}\n"),
        )
    Path(log.path).write_text(json.dumps(list(analysed.log), indent=2, default=str))
    return str(analysed.verdict), list(analysed.reasons)
