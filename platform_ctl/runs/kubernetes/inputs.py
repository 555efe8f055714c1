"""What the tasks of a KFP run were given: from the logs of their drivers, which resolved it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from platform_ctl.runs.kubernetes.api import READERS, RunsApi
from platform_ctl.runs.kubernetes.cached import ProducerOutputs
from platform_ctl.runs.kubernetes.nodes import WorkflowNode
from platform_ctl.runs.kubernetes.records import read
from platform_ctl.runs.record import Run, Task, TaskState


@dataclass(frozen=True)
class TaskInputs:
    """Reads a log for each task, which is why a run is read without. Raises KfpUnavailable."""

    api: RunsApi

    def of(self, run: Run) -> Run:
        """The run with the inputs of its tasks; of a task whose driver's log is gone, with none."""
        document = self.api.get(run.id)
        if document is None:
            return run
        _, nodes = read(self.api.with_spec(document))
        by_path = {n.task.path: n for n in nodes if n.task.state is not TaskState.SKIPPED}
        with ThreadPoolExecutor(READERS) as pool:
            tasks = pool.map(lambda t: self._with_inputs(run, t, by_path.get(t.path)), run.tasks)
            return replace(run, tasks=tuple(tasks))

    def _with_inputs(self, run: Run, task: Task, node: WorkflowNode | None) -> Task:
        driver = ProducerOutputs(self.api).driver(run.id, node) if node else None
        return replace(task, inputs=driver.inputs) if driver else task
