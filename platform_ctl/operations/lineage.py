"""What a home's lineage events say about one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from platform_ctl.domain.diagnosis import RecordedLineage
from platform_ctl.domain.lineage import task_run_id
from platform_ctl.domain.runs import Run


def recorded(events: Iterable[Mapping[str, Any]], since: str, run: Run) -> RecordedLineage:
    """``events``: of the run and its tasks; ``since``: the time of the home's first event."""
    paths = {task_run_id(run.id, task.path): task.path for task in run.tasks}
    started = ended = False
    tasks: set[str] = set()
    registry = ""
    for event in events:
        run_id, start = event["run"]["runId"], event["eventType"] == "START"
        if run_id == run.id:
            started, ended = started or start, ended or not start
            registry = event["run"]["facets"]["platform_run"]["registryUri"]
        elif run_id in paths and not start:
            tasks.add(paths[run_id])
    return RecordedLineage(since, started, ended, frozenset(tasks), registry)
