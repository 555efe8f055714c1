"""Following the run that carries a decision out, and naming one that died."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from platform_ctl.cli.interrupt import goes_on
from platform_ctl.cli.printing import print_line

if TYPE_CHECKING:
    from platform_ctl.runs.record import Run
    from platform_ctl.settings import Settings

_POLL_S = 0.2


def follow(settings: Settings, run: Run, *, stop: str = "") -> Run:
    """Wait for a detached run, showing its tasks as they change.

    Ctrl-C says that it goes on; ``stop`` is the command that ends it.
    """
    from platform_ctl import targets
    from platform_ctl.cli.progress import ProgressDisplay
    from platform_ctl.runs.record import EventKind, RunEvent

    orchestrator = targets.orchestrator(settings)
    seen: dict[str, str] = {}
    with goes_on(run.id, stop=stop), ProgressDisplay(runs=orchestrator) as progress:
        while True:
            newest = orchestrator.get(run.id)
            for task in newest.tasks:
                if seen.get(task.path) != task.state:
                    seen[task.path] = task.state
                    progress(RunEvent(EventKind.TASK, run.id, task.state, task))
            if newest.state.final:
                return newest
            time.sleep(_POLL_S)


def name_interrupted(settings: Settings) -> None:
    """Say on stderr which promotions have no process, and what carries them on. Changes nothing."""
    from platform_ctl import targets
    from platform_ctl.approvals.resume import interrupted

    if settings.target != "local" or not settings.layout.database.exists():
        return
    for sentence in interrupted(targets.run_reader(settings), targets.approvals(settings)):
        print_line(f"note: {sentence}; platform-ctl doctor --repair carries it on", err=True)
