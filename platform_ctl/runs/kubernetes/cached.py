"""Reads the outputs of a task that KFP's cache answered from the task that produced them.

The API server serves no outputs, and a task that was not executed has no log of its own. Its
driver's log names the execution whose outputs it takes; KFP's index of the cache names the run
of that execution; and there the task's log has them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from platform_ctl.ir.pipeline import Component
from platform_ctl.runs.kubernetes.api import Json, RunsApi
from platform_ctl.runs.kubernetes.driver import Driver, read_driver
from platform_ctl.runs.kubernetes.nodes import WorkflowNode
from platform_ctl.runs.kubernetes.outputs import read_outputs
from platform_ctl.runs.kubernetes.records import read
from platform_ctl.runs.record import Outputs, TaskState

CANDIDATES = 50
"""Tasks of the producing run whose drivers are asked whether it was theirs."""


@dataclass(frozen=True)
class Producer:
    """The task that had done the work of a hit."""

    run_id: str
    node: WorkflowNode


@dataclass(frozen=True)
class ProducerOutputs:
    """Reads through one API server. Raises KfpUnavailable."""

    api: RunsApi
    _runs: dict[str, Json | None] = field(default_factory=dict, repr=False)
    """Runs that produced: one run serves many hits, and what it has produced stays."""
    _reading: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def of(self, run_id: str, node: WorkflowNode, component: Component) -> Outputs:
        """Empty where the run that produced them, or its log, is gone."""
        driver = self.driver(run_id, node)
        producer = self.producer(driver, node) if driver else None
        if producer is None:
            return Outputs()
        return read_outputs(self._log(producer.run_id, producer.node), component)

    def producer(self, driver: Driver, node: WorkflowNode) -> Producer | None:
        """The executed task whose execution a hit names; None where its run is gone."""
        entry = self.api.cached(driver.cached_execution_id) if driver.cached_execution_id else None
        record = self._run(entry["runId"]) if entry else None
        if record is None:
            return None
        run, nodes = read(record)
        for candidate in _likeliest_first(nodes, node):
            its = self.driver(run.id, candidate)
            if its and its.execution_id == driver.cached_execution_id:
                return Producer(run.id, candidate)
        return None

    def driver(self, run_id: str, node: WorkflowNode) -> Driver | None:
        """What the driver decided; None where its log is gone, or it has not decided yet."""
        if not node.driver_id:
            return None
        return read_driver(self.api.log(run_id, node.driver_id, node.task.state) or b"")

    def _log(self, run_id: str, node: WorkflowNode) -> bytes:
        return self.api.log(run_id, node.task.log, node.task.state) or b"" if node.task.log else b""

    def _run(self, run_id: str) -> Json | None:
        with self._reading:
            if run_id not in self._runs:
                run = self.api.get(run_id)
                self._runs[run_id] = self.api.with_spec(run) if run else None
            return self._runs[run_id]


def _likeliest_first(nodes: list[WorkflowNode], hit: WorkflowNode) -> Iterator[WorkflowNode]:
    """The executed tasks: that of the same path, those of the same component, all others."""
    done = [n for n in nodes if n.executor and n.task.state is TaskState.SUCCEEDED]

    def distance(node: WorkflowNode) -> tuple[bool, bool]:
        task, of = node.task, hit.task
        return task.path != of.path, task.component != of.component

    return iter(sorted(done, key=distance)[:CANDIDATES])
