"""What KFP's cache decided for the tasks of a run, with the fingerprint that it decided by.

KFP keeps no reason. Its driver names the fingerprint of each task and, of a hit, the execution that
serves; an earlier run of the same task with another fingerprint shows what had changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from platform_ctl.errors import UnknownName
from platform_ctl.ir.pipeline import Component, Pipeline
from platform_ctl.runs.cache.diff import FieldChange
from platform_ctl.runs.cache.values import CacheDecision
from platform_ctl.runs.kubernetes.api import AVAILABLE, READERS, RunsApi
from platform_ctl.runs.kubernetes.cached import ProducerOutputs
from platform_ctl.runs.kubernetes.driver import Driver
from platform_ctl.runs.kubernetes.nodes import WorkflowNode
from platform_ctl.runs.kubernetes.records import pipeline_of, read
from platform_ctl.runs.record import TaskState

EARLIER_RUNS = 20
"""Newest runs before it among which the last one of the same pipeline is looked for."""


@dataclass(frozen=True)
class _Known:
    """A run as the cache saw it."""

    run_id: str
    pipeline: Pipeline
    nodes: Mapping[str, WorkflowNode]
    drivers: Mapping[str, Driver]


@dataclass(frozen=True)
class KfpDecisions:
    """Implements runs.cache.port.Decisions. Every method may raise KfpUnavailable."""

    api: RunsApi

    def decisions(self, run_id: str) -> list[CacheDecision]:
        """Raises UnknownName. Tasks without a driver asked nothing."""
        stored = self.api.get(run_id)
        if stored is None:
            raise UnknownName(
                f"no run {run_id!r}",
                where=run_id,
                fix="platform-ctl --target kubernetes run list",
            )
        now = self._known(stored)
        misses = [p for p, d in now.drivers.items() if d.fingerprint and not d.cached_execution_id]
        before = self._before(stored, now) if misses else None
        return [self._decision(now, path, driver, before) for path, driver in now.drivers.items()]

    def _decision(
        self, now: _Known, path: str, driver: Driver, before: _Known | None
    ) -> CacheDecision:
        node = now.nodes[path]
        at = datetime.fromisoformat(node.task.started_at or "1970-01-01T00:00:00+00:00")
        decided_at = at if at.tzinfo else at.replace(tzinfo=UTC)

        def made(decision: Any, reason: str, **source: Any) -> CacheDecision:
            return CacheDecision(
                now.run_id, path, decision, reason, decided_at, "", driver.fingerprint, **source
            )

        if not driver.fingerprint:
            return made("BYPASS", "caching is off for this task")
        if driver.cached_execution_id:
            producer = ProducerOutputs(self.api).producer(driver, node)
            if producer is None:
                return made("HIT", "an earlier result, of a run that is gone")
            source = {
                "source_run_id": producer.run_id,
                "source_task": producer.node.task.path,
            }
            return made("HIT", f"the result of run {producer.run_id[:8]}", **source)
        earlier = before.drivers.get(path) if before else None
        if before is None or earlier is None:
            return made("MISS", "no earlier run of this task")
        source = {"source_run_id": before.run_id, "source_task": path}
        if earlier.fingerprint == driver.fingerprint:
            return made("MISS", "the earlier run with this fingerprint left no result", **source)
        changes = _changes(_facts(before, path), _facts(now, path))
        reason = str(changes[0]) if changes else "an artifact that it reads was made anew"
        return made("MISS", reason, changes=changes, **source)

    def _known(self, stored: Mapping[str, Any]) -> _Known:
        document = self.api.with_spec(dict(stored))
        run, nodes = read(document)
        driven = [n for n in nodes if n.driver_id and n.task.state is not TaskState.SKIPPED]
        reader = ProducerOutputs(self.api)
        with ThreadPoolExecutor(READERS) as pool:
            drivers = list(pool.map(lambda n: reader.driver(run.id, n), driven))
        return _Known(
            run.id,
            pipeline_of(document),
            {n.task.path: n for n in driven},
            {n.task.path: d for n, d in zip(driven, drivers, strict=True) if d},
        )

    def _before(self, stored: Mapping[str, Any], now: _Known) -> _Known | None:
        """The last run of the same pipeline that began before this one."""
        newest = self.api.newest(AVAILABLE)
        older = (r for r in newest if r["created_at"] <= stored["created_at"])
        for candidate in islice(older, EARLIER_RUNS):
            document = self.api.with_spec(candidate)
            name = read(document)[0].pipeline
            if candidate["run_id"] != now.run_id and name == now.pipeline.name:
                return self._known(self.api.get(candidate["run_id"]) or document)
        return None


def _facts(known: _Known, path: str) -> dict[str, Any]:
    """What KFP's fingerprint is made of, by name: image, command, inputs, declared outputs."""
    component = known.pipeline.components[known.nodes[path].task.component]
    inputs = known.drivers[path].inputs
    artifacts = {
        f"artifacts.{name}": ", ".join(a.uri for a in some)
        for name, some in inputs.artifacts.items()
    }
    parameters = {f"parameters.{name}": value for name, value in inputs.parameters.items()}
    return {**parameters, **artifacts, **_container(known.pipeline, component)}


def _container(pipeline: Pipeline, component: Component) -> dict[str, Any]:
    executor = pipeline.deployment_spec.executors[component.executor_label]
    container = executor.container
    if container is None:
        return {}
    outputs = component.output_definitions
    return {
        "code": "\n".join([*container.command, *container.args]),
        "image": container.image,
        "outputs": ", ".join(sorted([*outputs.parameters, *outputs.artifacts])),
    }


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """Fields that differ, in the order in which they are written above."""
    changes = []
    for name in dict.fromkeys([*old, *new]):
        then, now = str(old.get(name, "")), str(new.get(name, ""))
        if then != now:
            words = ("then", "changed") if name == "code" else (then[:60], now[:60])
            changes.append(FieldChange(name, *words))
    return tuple(changes)
