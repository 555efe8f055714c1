"""From the task details of a KFP run to the tasks of its pipeline.

``run_details.task_details`` is Argo's tree of nodes laid flat: names repeat
(``executor``, ``double``), a node does not say its own id, and the states of
inner nodes may be old. But a node lists the ids of its children, an id is
``WORKFLOW-HASH`` with the 32-bit FNV-1a of the node's full name (argo-workflows,
``Workflow.NodeID``), and the full names follow from the pipeline, because KFP's
compiler (2.17.0, ``backend/src/v2/compiler/argocompiler``) makes of a task
``T`` in the DAG at ``D``:

    D.T-driver               its driver
    D.T -> D.T(0)            a DAG: of the inner tasks, or of ``executor``
    D.T(0).executor(N)       the step's pod, attempt N; absent when the cache answered
    D.T(0).iteration-iterations(I:I)(0).iteration-item(0)    the DAG of iteration I

So each task's node is found by hashing what it must be called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform_ctl.ir.pipeline import Component, Pipeline, TaskSpec
from platform_ctl.runs.record import RunState, SkippedBy, Task, TaskState, Usage, elapsed_s

MAX_ATTEMPTS = 32
"""Of a node; KFP's own limit of a retry policy is lower."""
DRIVER, EXECUTOR = "-driver", ".executor"
NEVER = ("0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "")
"""What the server writes for a time that has not come."""
_STATES = {
    "SUCCEEDED": TaskState.SUCCEEDED,
    "FAILED": TaskState.FAILED,
    "SYSTEM_ERROR": TaskState.FAILED,
    "SKIPPED": TaskState.SKIPPED,
    "CANCELED": TaskState.CANCELED,
    "CANCELING": TaskState.RUNNING,
    "RUNNING": TaskState.RUNNING,
    "PENDING": TaskState.PENDING,
}
_SKIPPED = {
    SkippedBy.CONDITION: "the condition is false",
    SkippedBy.UPSTREAM: "a task before it failed, or was skipped",
}
Detail = Mapping[str, Any]


@dataclass(frozen=True)
class WorkflowNode:
    """One task of the pipeline and the Argo nodes that worked for it."""

    task: Task
    driver: str = ""
    """Full name of the driver's newest pod node; empty before it was made."""
    executor: str = ""
    """Full name of the step's newest pod node; empty for a DAG, a hit, a step not begun."""
    driver_id: str = ""
    """Argo's id of ``driver``, by which its log is read."""


@dataclass(frozen=True)
class WorkflowTree:
    """The nodes of one run. ``workflow`` is Argo's name of it, empty before it was made."""

    workflow: str
    parents: Mapping[str, Detail] = field(repr=False)
    """Node id -> the entry that lists it among its children."""

    def node_id(self, name: str) -> str:
        return f"{self.workflow}-{fnv1a(name)}"

    def parent(self, name: str) -> Detail | None:
        """The entry above the node of that full name; None when there is no such node."""
        return self.parents.get(self.node_id(name))

    def newest(self, name: str) -> str:
        """``name(N)`` of the newest attempt that exists; empty when there is none."""
        attempts = (f"{name}({n})" for n in range(MAX_ATTEMPTS))
        last = ""
        for attempt in attempts:
            if self.parent(attempt) is None:
                break
            last = attempt
        return last

    def attempts(self, name: str) -> int:
        newest = self.newest(name)
        return int(newest[:-1].rpartition("(")[2]) + 1 if newest else 0


def tree(details: Sequence[Detail]) -> WorkflowTree:
    """Lays the parent links of ``task_details`` open."""
    parents: dict[str, Detail] = {}
    workflow = ""
    for detail in details:
        for child in detail.get("child_tasks") or ():
            if name := child.get("pod_name"):
                parents[name] = detail
                display_name = detail.get("display_name") or ""
                if name == f"{display_name}-{fnv1a(f'{display_name}(0)')}":
                    workflow = display_name
    return WorkflowTree(workflow, parents)


def read_nodes(
    pipeline: Pipeline, details: Sequence[Detail], state: RunState
) -> list[WorkflowNode]:
    """Every task that the run has come to, in the order of the pipeline.

    ``state`` is the run's own, which is reliable: in a run that has ended no
    task is left RUNNING, and what was never reached is skipped by its upstream.
    """
    workflow = tree(details)
    top = workflow.newest(workflow.workflow) if workflow.workflow else ""
    root = workflow.newest(f"{top}.root") if top else ""
    if not root:
        return []
    return list(_of_dag(_Run(pipeline, workflow, state), pipeline.root, root, ""))


@dataclass(frozen=True)
class _Run:
    pipeline: Pipeline
    tree: WorkflowTree
    state: RunState


def _of_dag(run: _Run, component: Component, base: str, prefix: str) -> Iterator[WorkflowNode]:
    for name, task in component.tasks.items():
        inner = run.pipeline.component_of(task)
        path, node = f"{prefix}{name}", f"{base}.{name}"
        if not inner.dag:
            yield _leaf(run, task, node, path)
            continue
        opened = run.tree.newest(node)
        if not opened:
            yield from _closed_dag(run, task, node, path)
        elif task.is_loop:
            yield from _loop(run, inner, opened, path)
        else:
            yield from _of_dag(run, inner, opened, f"{path}.")


def _loop(run: _Run, body: Component, opened: str, path: str) -> Iterator[WorkflowNode]:
    number = 0
    while iteration := run.tree.newest(f"{opened}.iteration-iterations({number}:{number})"):
        if item := run.tree.newest(f"{iteration}.iteration-item"):
            yield from _of_dag(run, body, item, f"{path}.{number}.")
        number += 1


def _closed_dag(run: _Run, task: TaskSpec, node: str, path: str) -> Iterator[WorkflowNode]:
    """A DAG that was not opened: its driver is at work, refused it, or was never started."""
    driver = run.tree.newest(node + DRIVER)
    detail = run.tree.parent(driver) if driver else None
    state = _state(detail)
    if state is TaskState.SUCCEEDED and task.trigger_policy.condition:
        yield WorkflowNode(
            _task(task, path, TaskState.SKIPPED, detail, SkippedBy.CONDITION), driver
        )
    elif state is TaskState.FAILED:
        yield WorkflowNode(_task(task, path, TaskState.FAILED, detail), driver)
    elif run.state.final:
        yield WorkflowNode(_task(task, path, TaskState.SKIPPED, None, SkippedBy.UPSTREAM), driver)
    elif driver:
        yield WorkflowNode(_task(task, path, TaskState.PENDING, None), driver)


def _leaf(run: _Run, task: TaskSpec, node: str, path: str) -> WorkflowNode:
    driver, opened = run.tree.newest(node + DRIVER), run.tree.newest(node)
    executor = run.tree.newest(opened + EXECUTOR) if opened else ""
    refused = run.tree.parent(driver) if driver else None
    detail = run.tree.parent(executor) if executor else None
    if detail is not None:
        state = _state(detail)
        if run.state.final and not state.final:
            state = _ended(run.state)
        attempts = run.tree.attempts(opened + EXECUTOR)
        return WorkflowNode(_task(task, path, state, detail, attempts=attempts), driver, executor)
    if opened and _state(run.tree.parent(opened)) is TaskState.SUCCEEDED:
        return WorkflowNode(_task(task, path, TaskState.CACHED, run.tree.parent(opened)), driver)
    if _state(refused) is TaskState.FAILED:
        return WorkflowNode(_task(task, path, TaskState.FAILED, refused), driver)
    if run.state.final and not driver:
        return WorkflowNode(_task(task, path, TaskState.SKIPPED, None, SkippedBy.UPSTREAM))
    state = _ended(run.state) if run.state.final else TaskState.PENDING
    return WorkflowNode(_task(task, path, state, None), driver)


def _ended(run: RunState) -> TaskState:
    """Of a task whose node still says that it runs: the run's own state came later."""
    return {
        RunState.SUCCEEDED: TaskState.SUCCEEDED,
        RunState.FAILED: TaskState.FAILED,
    }.get(run, TaskState.CANCELED)


def _state(detail: Detail | None) -> TaskState:
    return _STATES.get(str((detail or {}).get("state")), TaskState.PENDING)


def _task(
    task: TaskSpec,
    path: str,
    state: TaskState,
    detail: Detail | None,
    skipped_by: SkippedBy | None = None,
    attempts: int = 0,
) -> Task:
    started_at, ended_at = time_of(detail, "start_time"), time_of(detail, "end_time")
    return Task(
        path,
        path.rpartition(".")[2],
        task.component_ref.name,
        state,
        started_at=started_at,
        ended_at=ended_at,
        usage=Usage(wall_s=elapsed_s(started_at, ended_at) or 0.0),
        attempts=attempts,
        error=_SKIPPED[skipped_by] if skipped_by else "",
        skipped_by=skipped_by,
        skip_cause=path if skipped_by is SkippedBy.CONDITION else "",
    )


def time_of(detail: Detail | None, key: str) -> str | None:
    """A time of the server's JSON, None for one that has not come."""
    text = str((detail or {}).get(key) or "")
    return None if text in NEVER else text


def step_of(node_name: str) -> tuple[str, int]:
    """Path and attempt (from 0) of the task whose step runs in the node of that full name; an
    empty path for a node of another kind."""
    match = _EXECUTOR.fullmatch(node_name)
    if match is None:
        return "", 0
    path = _ITERATION.sub(r".\1", match[1])
    return re.sub(r"\(\d+\)", "", path), int(match[2])


_EXECUTOR = re.compile(r"[^.]+\.root\(\d+\)\.(.+)\(\d+\)\.executor\((\d+)\)")
_ITERATION = re.compile(r"\.iteration-iterations\((\d+):\d+\)(?:\(\d+\))?\.iteration-item")


def fnv1a(text: str) -> int:
    """32-bit FNV-1a of UTF-8, as ``hash/fnv`` of Go."""
    value = 2166136261
    for byte in text.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value
