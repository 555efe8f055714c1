"""Step the canary up, judging at each weight."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl import targets
from platform_ctl.operations.analyse_release import run_analysis

if TYPE_CHECKING:
    from kfp import dsl


def run(release_id: str, log: dsl.Artifact) -> tuple[str, list[str]]:
    """-> verdict, reasons. ``log.path`` holds every look's figures as JSON."""
    settings = targets.current_settings()
    ports = targets.releasing(settings)
    with targets.canary_cost(settings, ports.releases.get(release_id).target.service):
        analysed = run_analysis(
            ports, release_id, on_progress=lambda line: sys.stderr.write(f"{line}\n")
        )
    Path(log.path).write_text(json.dumps(list(analysed.log), indent=2, default=str))
    return str(analysed.verdict), list(analysed.reasons)
