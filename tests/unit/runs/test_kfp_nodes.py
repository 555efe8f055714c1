"""Tasks of recorded runs of a real KFP 2.17.0 (tests/data/kfp), as ``task_details`` hide them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.runs.kubernetes.nodes import WorkflowNode, fnv1a, read_nodes
from platform_ctl.runs.record import RunState, SkippedBy, TaskState

DATA = Path(__file__).parents[2] / "data" / "kfp"
LOOP = {"for-loop-2.0.double", "for-loop-2.1.double"}


def recorded(name: str) -> dict[str, Any]:
    return json.loads((DATA / f"run-{name}.json").read_text())


def nodes(said: dict[str, Any], state: RunState | None = None) -> dict[str, WorkflowNode]:
    pipeline = msgspec.convert(said["pipeline_spec"], Pipeline)
    details = said["run_details"]["task_details"]
    found = read_nodes(pipeline, details, state or RunState(said["state"]))
    return {node.task.path: node for node in found}


def states(said: dict[str, Any]) -> dict[str, TaskState]:
    return {path: node.task.state for path, node in nodes(said).items()}


def test_the_hash_is_that_of_argo() -> None:
    assert fnv1a("probe-b7hsf(0).root(0).make(0).executor(0)") == 2906437411


def test_a_run_that_succeeded_with_a_loop_and_branches() -> None:
    found = nodes(recorded("succeeded"))
    good = {path for path, node in found.items() if node.task.state is TaskState.SUCCEEDED}
    assert good == {"make", "condition-3.show", *LOOP}
    for path in ("condition-4", "condition-5"):
        assert found[path].task.skipped_by is SkippedBy.CONDITION
    make = found["make"]
    assert make.executor == "probe-b7hsf(0).root(0).make(0).executor(0)"
    assert make.task.usage.wall_s == 20.0 and make.task.attempts == 1


def test_hits_are_told_from_executed_steps() -> None:
    said = states(recorded("cached"))
    assert {p for p, s in said.items() if s is TaskState.CACHED} == {"make", *LOOP}
    assert said["condition-3.show"] is TaskState.SUCCEEDED


def test_what_waited_for_a_failed_step_is_skipped_by_it() -> None:
    found = nodes(recorded("failed"))
    assert found["condition-5.boom"].task.state is TaskState.FAILED
    assert found["condition-5.double-3"].task.skipped_by is SkippedBy.UPSTREAM
    assert found["make"].task.state is TaskState.SUCCEEDED


def test_a_run_whose_image_cannot_be_had_still_runs_for_kfp() -> None:
    found = nodes(recorded("stuck"))
    running = {p for p, n in found.items() if n.task.state is TaskState.RUNNING}
    assert running == {"make", *LOOP}
    assert all(found[p].executor for p in running)


@pytest.mark.parametrize(
    ("ended", "left"),
    [
        (RunState.FAILED, TaskState.FAILED),
        (RunState.CANCELED, TaskState.CANCELED),
        (RunState.SUCCEEDED, TaskState.SUCCEEDED),  # its node is written later than the run
    ],
)
def test_in_a_run_that_has_ended_no_task_runs(ended: RunState, left: TaskState) -> None:
    found = nodes(recorded("stuck"), ended)
    assert {n.task.state for n in found.values()} == {left, TaskState.SKIPPED}


def test_before_the_workflow_is_made_there_are_no_tasks() -> None:
    said = recorded("succeeded")
    said["run_details"] = {"task_details": []}
    assert nodes(said, RunState.PENDING) == {}
