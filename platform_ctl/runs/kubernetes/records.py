"""Runs and the nodes of their tasks, from the JSON of KFP's API server."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from platform_ctl.errors import BadPipelineFile
from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.runs.kubernetes.api import Json
from platform_ctl.runs.kubernetes.nodes import WorkflowNode, read_nodes, time_of, tree
from platform_ctl.runs.record import Run, RunState, Task, TaskState

_STATES = {
    "SUCCEEDED": RunState.SUCCEEDED,
    "SKIPPED": RunState.SUCCEEDED,
    "FAILED": RunState.FAILED,
    "CANCELED": RunState.CANCELED,
    "CANCELING": RunState.RUNNING,
    "RUNNING": RunState.RUNNING,
    "PAUSED": RunState.RUNNING,
}
_FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


def read(document: Json) -> tuple[Run, list[WorkflowNode]]:
    """A run and the nodes of its tasks. Raises BadPipelineFile."""
    run = record(document)
    details = document.get("run_details", {}).get("task_details", [])
    # A run of a version that was deleted has no IR, and so no tasks that could be named.
    nodes = read_nodes(pipeline_of(document), details, run.state) if ir_of(document) else []
    workflow = tree(details)
    ended_by_us = _canceling_at(document) if run.state is RunState.CANCELED else ""
    named = []
    for node in nodes:
        if ended_by_us and _failed_after(node.task, ended_by_us):
            node = replace(node, task=replace(node.task, state=TaskState.CANCELED))
        pod = node.executor or (node.driver if node.task.state is TaskState.FAILED else "")
        log = workflow.node_id(pod) if pod else ""
        driver_id = workflow.node_id(node.driver) if node.driver else ""
        named.append(replace(node, task=replace(node.task, log=log), driver_id=driver_id))
    return run, named


def record(document: Json) -> Run:
    """The run itself; its tasks are read by ``get``."""
    state = _state(document)
    history = {h.get("state"): h.get("update_time") for h in document.get("state_history", [])}
    documents = ir_of(document)
    info = documents[0].get("pipelineInfo", {}) if documents else {}
    return Run(
        id=document["run_id"],
        name=document.get("display_name", ""),
        pipeline=info.get("name", ""),
        state=state,
        created_at=document.get("created_at", ""),
        directory="",
        parameters=document.get("runtime_config", {}).get("parameters", {}),
        started_at=history.get("RUNNING"),
        ended_at=time_of(document, "finished_at") if state.final else None,
        error=str((document.get("error") or {}).get("message", "")),
    )


def _state(document: Json) -> RunState:
    """A terminated run ends as FAILED in KFP 2.17; that it was terminated is in its history."""
    state = _STATES.get(str(document.get("state")), RunState.PENDING)
    return RunState.CANCELED if state is RunState.FAILED and _canceling_at(document) else state


def _canceling_at(document: Json) -> str:
    """When somebody ended it; empty where nobody did, or where it was retried since."""
    before = [h for h in document.get("state_history", []) if h.get("state") not in _FINAL]
    last = before[-1] if before else {}
    return str(last.get("update_time", "")) if last.get("state") == "CANCELING" else ""


def ir_of(document: Json) -> list[Json]:
    """The documents of the run's IR; none where it only names a pipeline version."""
    spec = document.get("pipeline_spec") or {}
    if "pipeline_spec" in spec:
        return [
            spec["pipeline_spec"],
            *([spec["platform_spec"]] if "platform_spec" in spec else []),
        ]
    return [spec] if spec else []


def pipeline_of(document: Json) -> Pipeline:
    """Raises BadPipelineFile for IR that is gone, or that another SDK wrote and that is not
    understood."""
    documents = ir_of(document)
    if not documents:
        raise BadPipelineFile(
            "the version of the pipeline that the run executed was deleted, and its IR with it",
            where=f"run {document['run_id']}",
            fix="platform-ctl --target kubernetes run list",
        )
    platforms = documents[1].get("platforms", {}) if len(documents) > 1 else {}
    try:
        return msgspec.convert({**documents[0], "platforms": platforms}, Pipeline)
    except msgspec.ValidationError as exc:
        raise BadPipelineFile(
            f"the IR of the run is not understood: {exc}",
            where=f"run {document['run_id']}",
            fix="platform-ctl --target kubernetes run list",
        ) from exc


def _failed_after(task: Task, instant: str) -> bool:
    return task.state is TaskState.FAILED and (task.ended_at or instant) >= instant
