"""The interpreter: walks the DAGs of one run, starts what is ready, follows what ends.

One thread. A task is looked at when everything it waits for has ended; it is
then skipped, opened (nested DAG, loop) or handed to ``execution`` (a leaf).
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from dataclasses import replace

from platform_ctl.errors import StepFailed
from platform_ctl.ir.pipeline import Pipeline
from platform_ctl.runs.local import graph
from platform_ctl.runs.local.execution import Execution, TaskOutcome
from platform_ctl.runs.local.graph import DagInstance, RunContext, TaskInstance
from platform_ctl.runs.record import Outputs, RunState, SkippedBy, Task, TaskState, TaskVerdict

_CANCELED = "the run was cancelled"
_OVERDUE = "the run exceeded its deadline"


class Engine:
    """Runs one pipeline to its end. ``record`` hears every change of a leaf or skipped task."""

    def __init__(
        self,
        pipeline: Pipeline,
        facts: RunContext,
        execution: Execution,
        record: Callable[[Task], None],
    ) -> None:
        self._pipeline = pipeline
        self._facts = facts
        self._execution = execution
        self._record = record
        self._ready: collections.deque[TaskInstance] = collections.deque()
        self._waiting_iterations: dict[TaskInstance, collections.deque[DagInstance]] = {}
        self._root: DagInstance | None = None
        self.verdicts: list[TaskVerdict] = []
        self.failures: list[tuple[str, str]] = []
        self.outputs = Outputs()

    def run(self, parameters: dict[str, object], canceled: Callable[[], bool]) -> RunState:
        """To the end; ``canceled`` is asked whenever something happened."""
        root = DagInstance.open(self._pipeline, self._pipeline.root, "", Outputs(parameters))
        self._root = root
        self._enter(root)
        stop = ""
        while root.unfinished and not stop:
            self._advance()
            if root.unfinished:
                for task, outcome in self._execution.wait():
                    self._ended(task, outcome)
                stop = _CANCELED if canceled() else _OVERDUE if self._execution.overdue else ""
        if stop and root.unfinished:
            for task, outcome in self._execution.cancel(stop):
                self._record_leaf(task, outcome)
            self.failures.append(("", stop))
            return RunState.CANCELED if stop == _CANCELED else RunState.FAILED
        self.outputs = graph.dag_outputs(root)
        return RunState.FAILED if _failed(root) else RunState.SUCCEEDED

    # ---- tasks become ready ----------------------------------------------

    def _enter(self, dag: DagInstance) -> None:
        self._ready.extend(task for task in dag.tasks.values() if not task.waits_for)
        if not dag.tasks:
            self._leave(dag)

    def _advance(self) -> None:
        while self._ready:
            task = self._ready.popleft()
            try:
                self._look_at(task)
            except StepFailed as exc:
                self._fail(task, exc.what)

    def _look_at(self, task: TaskInstance) -> None:
        upstream = [task.dag.tasks[name] for name in task.spec.upstream()]
        cause = _not_triggered(task, upstream)
        if cause:
            how = "failed" if cause.state is TaskState.FAILED else "was skipped"
            self._skip(task, f"{cause.name} {how}", SkippedBy.UPSTREAM, cause)
            return
        bound = graph.bind(task, self._facts)
        if task.spec.trigger_policy.condition and not graph.should_run(task, bound):
            self._skip(task, "the condition is false", SkippedBy.CONDITION, task)
        elif task.spec.is_loop:
            self._open_loop(task, bound)
        elif task.component.dag:
            self._open(task, task.path, graph.dag_inputs(task.component, bound))
        else:
            self._start(task, graph.step_inputs(task, bound))

    def _start(self, task: TaskInstance, inputs: Outputs) -> None:
        task.state = TaskState.RUNNING
        outcome = self._execution.start(task, inputs)
        if outcome is not None:
            self._ended(task, outcome)

    def _open(self, task: TaskInstance, path: str, inputs: Outputs) -> None:
        task.state = TaskState.RUNNING
        dag = DagInstance.open(self._pipeline, task.component, path, inputs, task)
        task.children.append(dag)
        self._enter(dag)

    def _open_loop(self, task: TaskInstance, bound: Outputs) -> None:
        """A loop's iterations, at most ``parallelism_limit`` at a time."""
        task.state = TaskState.RUNNING
        items = graph.iterations(task, bound)
        if task.component.dag is None:
            raise StepFailed("a loop over a single component is not KFP v2")
        for number, inputs in enumerate(items):
            inputs = graph.dag_inputs(task.component, inputs)
            path = f"{task.path}.{number}"
            task.children.append(
                DagInstance.open(self._pipeline, task.component, path, inputs, task)
            )
        limit = task.spec.iterator_policy.parallelism_limit or len(items)
        waiting = collections.deque(task.children[limit:])
        self._waiting_iterations[task] = waiting
        if not items:
            self._loop_ended(task)
        for dag in task.children[:limit]:
            self._enter(dag)

    # ---- tasks end --------------------------------------------------------

    def _ended(self, task: TaskInstance, outcome: TaskOutcome) -> None:
        self._record_leaf(task, outcome)
        if outcome.state is TaskState.FAILED:
            self.failures.append((task.path, outcome.error))
        verdict = outcome.outputs.parameters.get("verdict")
        if outcome.state.good and isinstance(verdict, str):
            reasons = outcome.outputs.parameters.get("reasons")
            listed = reasons if isinstance(reasons, list) else [reasons] if reasons else []
            self.verdicts.append(TaskVerdict(task.path, verdict, tuple(map(str, listed))))
        self._finish(task, outcome.state, outcome.outputs, outcome.error)

    def _record_leaf(self, task: TaskInstance, outcome: TaskOutcome) -> None:
        if outcome.task is not None:
            self._record(outcome.task)

    def _fail(self, task: TaskInstance, error: str) -> None:
        self._record(_record_of(task, TaskState.FAILED, error))
        self.failures.append((task.path, error))
        self._finish(task, TaskState.FAILED, Outputs(), error)

    def _skip(self, task: TaskInstance, reason: str, by: SkippedBy, cause: TaskInstance) -> None:
        record = _record_of(task, TaskState.SKIPPED, reason)
        self._record(replace(record, skipped_by=by, skip_cause=cause.path))
        self._finish(task, TaskState.SKIPPED, Outputs(), reason)

    def _finish(self, task: TaskInstance, state: TaskState, outputs: Outputs, error: str) -> None:
        task.state, task.outputs, task.error = state, outputs, error
        dag = task.dag
        for other in dag.dependents(task.name):
            other.waits_for.discard(task.name)
            if not other.waits_for:
                self._ready.append(other)
        dag.unfinished -= 1
        if dag.unfinished == 0:
            self._leave(dag)

    def _leave(self, dag: DagInstance) -> None:
        task = dag.owner
        if task is None:
            return
        if task in self._waiting_iterations:
            if self._waiting_iterations[task]:
                self._enter(self._waiting_iterations[task].popleft())
            elif not any(child.unfinished for child in task.children):
                self._loop_ended(task)
            return
        failed = _failed(dag)
        state = TaskState.FAILED if failed else TaskState.SUCCEEDED
        self._finish(task, state, graph.dag_outputs(dag), failed)

    def _loop_ended(self, task: TaskInstance) -> None:
        if self._waiting_iterations.pop(task, None) is None:
            return
        failed = next(filter(None, map(_failed, task.children)), "")
        state = TaskState.FAILED if failed else TaskState.SUCCEEDED
        self._finish(task, state, graph.loop_outputs(task), failed)


def _not_triggered(task: TaskInstance, upstream: Sequence[TaskInstance]) -> TaskInstance | None:
    """What keeps the task from running. As on the cluster: a skipped upstream skips it too."""
    if task.spec.trigger_policy.on_completion:
        skipped = upstream and all(u.state is TaskState.SKIPPED for u in upstream)
        return upstream[0] if skipped else None
    for state in (TaskState.FAILED, TaskState.SKIPPED):
        if first := next((other for other in upstream if other.state is state), None):
            return first
    return None


def _failed(dag: DagInstance) -> str:
    """What failed in the DAG, or ""."""
    return next(
        (f"{t.name} failed: {t.error}" for t in dag.tasks.values() if t.state is TaskState.FAILED),
        "",
    )


def _record_of(task: TaskInstance, state: TaskState, error: str) -> Task:
    return replace(
        Task(task.path, task.name, task.spec.component_ref.name, state),
        error=error,
    )
