"""What a home's lineage events say about one run, one dataset or one model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from platform_ctl.errors import UnknownName, unknown
from platform_ctl.explain.diagnosis import RecordedLineage
from platform_ctl.lineage.events import task_run_id
from platform_ctl.lineage.graph import Graph, Key
from platform_ctl.runs.record import Run


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


def find_dataset(graph: Graph, reference: str) -> Key | None:
    """NAME of a dataset or model at its newest version, or NAME/version; None when unknown."""
    keys = graph.find(reference)
    return keys[-1] if keys else None


def not_in_lineage(reference: str, graph: Graph) -> UnknownName:
    """What to say of a name that is none, with the nearest one that is."""
    return unknown(
        f"no run, dataset or model {reference!r} in the lineage of this home",
        reference,
        sorted({name.removeprefix("models/") for name in graph.names()}),
        where="lineage",
        fix="platform-ctl lineage show {}",
        otherwise="platform-ctl run list",
    )
