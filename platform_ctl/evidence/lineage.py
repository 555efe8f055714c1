"""Does the lineage in an evidence pack lead from the data to the model, and past the gate?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from platform_ctl.lineage.facets import Event
from platform_ctl.lineage.graph import Graph, Key, TaskRun

LINEAGE_FILE = "lineage.json"
"""In a pack: the events of the run that made the version, as a list."""
GATE_FILE = "gate.json"
_TABLES = "iceberg"


def problems(
    events: Sequence[Event], model: str, number: str, tags: Mapping[str, str], gate: Any = None
) -> Iterator[str]:
    """Sentences that say what does not fit; none when everything does.

    ``tags``: of the version; ``gate``: the decision as it was registered, if it was.
    """
    run_id = tags.get("run_id", "")
    strangers = {_root(e) for e in events} - {run_id}
    if strangers:
        yield f"its lineage is of run {', '.join(sorted(strangers))}, not of {run_id}"
        return
    own = {e["eventType"] for e in events if "parent" not in e["run"]["facets"]}
    if not own & {"COMPLETE", "FAIL", "ABORT"}:
        yield f"its lineage does not say how run {run_id} ended"
    graph = Graph(events)
    written = _written(graph, model, number)
    if written is None:
        yield f"its lineage does not say that run {run_id} made {model}/{number}"
        return
    snapshot = tags.get("data_snapshot", "")
    written_to = _snapshots(graph, written)
    if snapshot and snapshot not in written_to:
        snapshots = f"to snapshot {', '.join(sorted(written_to))}" if written_to else "to no table"
        yield f"its lineage leads {snapshots}; it was registered as made from snapshot {snapshot}"
    if isinstance(gate, Mapping):
        yield from _gate_problems(events, gate)


def _gate_problems(events: Sequence[Event], gate: Mapping[str, Any]) -> Iterator[str]:
    """Some task gave the verdict that was registered, for the same reasons."""
    verdicts = [
        (f["verdict"], list(f["reasons"]))
        for e in events
        if (f := e["run"]["facets"].get("platform_gate"))
    ]
    if (gate.get("verdict"), list(gate.get("reasons", ()))) not in verdicts:
        recorded = (
            ", ".join(sorted({verdict for verdict, reasons in verdicts if reasons})) or "none"
        )
        yield (
            f"the verdict in its lineage ({recorded}) is not the one in {GATE_FILE}"
            f" ({gate.get('verdict')}), or has other reasons"
        )


def _written(graph: Graph, model: str, number: str) -> Key | None:
    keys = (k for t in graph.tasks.values() for k in t.outputs)
    return next((k for k in keys if (k[1], k[2]) == (f"models/{model}", number)), None)


def _snapshots(graph: Graph, key: Key) -> set[str]:
    """Of every table upstream."""
    tasks: list[TaskRun] = graph.around(key)
    return {k[2] for t in tasks for k in t.inputs if k[0] == _TABLES}


def _root(event: Event) -> str:
    parent = event["run"]["facets"].get("parent")
    return (parent["root"] if parent else event)["run"]["runId"]
