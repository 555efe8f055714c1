"""OpenLineage run events of runs and tasks, as plain JSON values.

https://openlineage.io/spec/2-0-2: a pipeline is a Job, a task the Job
``PIPELINE.PATH``; a run's id is its own, a task run's is derived from it, so
that it is stable across retries. Facets of our own begin with ``platform_``;
their schemas are in ``docs/schemas``. Nothing here imports openlineage.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from platform_ctl.domain import lineage_datasets as datasets
from platform_ctl.domain.lineage_datasets import Naming
from platform_ctl.domain.runs import Run, RunState, Task, TaskState

SPEC = "https://openlineage.io/spec/"
PRODUCER = "urn:platform-ctl:"
"""The version is appended. No web address: forks of the project need not change it."""
SCHEMAS = "urn:platform-ctl:schema:"
ENGINE = "platform-ctl"

Event = dict[str, Any]

_ENDS = {
    TaskState.SUCCEEDED: "COMPLETE",
    TaskState.CACHED: "COMPLETE",
    TaskState.FAILED: "FAIL",
    TaskState.CANCELED: "ABORT",
}
_RUN_ENDS = {
    RunState.SUCCEEDED: "COMPLETE",
    RunState.FAILED: "FAIL",
    RunState.CANCELED: "ABORT",
}


@dataclass(frozen=True)
class Source:
    """Where a pipeline's code is; all empty when it is in no git repository."""

    repo_url: str = ""
    version: str = ""
    """Commit."""
    path: str = ""

    @property
    def url(self) -> str:
        return f"{self.repo_url.removesuffix('.git')}/blob/{self.version}/{self.path}"


@dataclass(frozen=True)
class Producer:
    """What every event of this platform says about it."""

    version: str
    naming: Naming
    target: str = "local"
    registry_uri: str = ""
    money_per_cpu_hour: float = 0.0
    sources: Mapping[str, Source] = field(default_factory=dict)
    """Pipeline -> where its code is."""

    def facet(self, schema: str, /, **values: Any) -> dict[str, Any]:
        """One of the spec's facets; ``schema`` is ``1-0-1/NameFacet``."""
        name = schema.partition("/")[2]
        return {
            "_producer": PRODUCER + self.version,
            "_schemaURL": f"{SPEC}facets/{schema}.json#/$defs/{name}",
            **values,
        }

    def own(self, name: str, /, **values: Any) -> dict[str, Any]:
        """One of our facets; values of None are left out."""
        return {
            "_producer": PRODUCER + self.version,
            "_schemaURL": f"{SCHEMAS}{name}:1-0-0",
            **{k: v for k, v in values.items() if v is not None},
        }


def task_run_id(run_id: str, path: str) -> str:
    """The OpenLineage run id of a task."""
    return str(uuid.uuid5(uuid.UUID(run_id), path))


def run_start(run: Run, by: Producer) -> Event:
    return _event(
        "START",
        run.started_at or run.created_at,
        run.id,
        _run_facets(run, by),
        _job(run.pipeline, "DAG", run.pipeline, by),
        by,
    )


def run_end(run: Run, by: Producer) -> Event:
    """COMPLETE, FAIL or ABORT of a run that has ended."""
    facets = _run_facets(run, by)
    if run.error:
        facets["errorMessage"] = _error(run.error, by)
    verdicts = [{"task": v.task, "verdict": v.verdict} for v in run.verdicts]
    facets["platform_run"]["verdicts"] = verdicts
    return _event(
        _RUN_ENDS[run.state],
        run.ended_at or run.created_at,
        run.id,
        facets,
        _job(run.pipeline, "DAG", run.pipeline, by),
        by,
    )


def task_start(run: Run, task: Task, by: Producer) -> Event:
    return _event(
        "START",
        task.started_at or run.created_at,
        task_run_id(run.id, task.path),
        _task_facets(run, by),
        _job(f"{run.pipeline}.{task.path}", "TASK", run.pipeline, by),
        by,
        inputs=datasets.inputs(run, task, by),
    )


def task_end(run: Run, task: Task, by: Producer, produced_by: tuple[str, str] = ("", "")) -> Event:
    """COMPLETE, FAIL or ABORT; ``produced_by`` is (run id, task path) of a cached task's source."""
    facets = _task_facets(run, by)
    facets["platform_cache"] = _cache(task, produced_by, by)
    facets["platform_budget"] = _budget(task, by)
    if task.state is TaskState.FAILED:
        facets["errorMessage"] = _error(task.error, by)
    gate, approval = _gate(task, by), _approval(task, by)
    facets |= {"platform_gate": gate} if gate else {}
    facets |= {"platform_approval": approval} if approval else {}
    return _event(
        _ENDS[task.state],
        task.ended_at or run.created_at,
        task_run_id(run.id, task.path),
        facets,
        _job(f"{run.pipeline}.{task.path}", "TASK", run.pipeline, by),
        by,
        inputs=datasets.inputs(run, task, by),
        outputs=datasets.outputs(run, task, by) if task.state.good else [],
    )


# ---- parts ----------------------------------------------------------------------


def _event(
    kind: str,
    at: str,
    run_id: str,
    facets: Mapping[str, Any],
    job: Mapping[str, Any],
    by: Producer,
    *,
    inputs: list[Any] | None = None,
    outputs: list[Any] | None = None,
) -> Event:
    return {
        "eventType": kind,
        "eventTime": at,
        "run": {"runId": run_id, "facets": facets},
        "job": job,
        "inputs": inputs or [],
        "outputs": outputs or [],
        "producer": PRODUCER + by.version,
        "schemaURL": f"{SPEC}2-0-2/OpenLineage.json#/$defs/RunEvent",
    }


def _job(name: str, kind: str, pipeline: str, by: Producer) -> dict[str, Any]:
    facets = {
        "jobType": by.facet(
            "2-0-4/JobTypeJobFacet",
            processingType="BATCH",
            integration="KUBEFLOW",
            jobType=kind,
        )
    }
    source = by.sources.get(pipeline)
    if source and source.repo_url:
        facets["sourceCodeLocation"] = by.facet(
            "1-1-0/SourceCodeLocationJobFacet",
            type="git",
            url=source.url,
            repoUrl=source.repo_url,
            path=source.path,
            version=source.version,
        )
    return {"namespace": by.naming.namespace, "name": name, "facets": facets}


def _engine(by: Producer) -> dict[str, Any]:
    return by.facet(
        "1-1-1/ProcessingEngineRunFacet",
        name=ENGINE,
        version=by.version,
        openlineageAdapterVersion=by.version,
    )


def _run_facets(run: Run, by: Producer) -> dict[str, Any]:
    return {
        "processing_engine": _engine(by),
        "nominalTime": by.facet("1-0-1/NominalTimeRunFacet", nominalStartTime=run.created_at),
        "platform_run": by.own(
            "PlatformRunFacet",
            name=run.name,
            target=by.target,
            useCache=run.use_cache,
            registryUri=by.registry_uri,
            parameters={k: datasets.text(v) for k, v in run.parameters.items()},
        ),
    }


def _task_facets(run: Run, by: Producer) -> dict[str, Any]:
    of = {"run": {"runId": run.id}, "job": {"namespace": by.naming.namespace, "name": run.pipeline}}
    return {
        "processing_engine": _engine(by),
        "parent": by.facet("1-2-0/ParentRunFacet", **of, root=of),
    }


def _error(message: str, by: Producer) -> dict[str, Any]:
    return by.facet(
        "1-0-1/ErrorMessageRunFacet", message=message or "unknown", programmingLanguage="python"
    )


def _cache(task: Task, produced_by: tuple[str, str], by: Producer) -> dict[str, Any]:
    run_id, path = produced_by
    source = (
        {"runId": run_id, "taskRunId": task_run_id(run_id, path), "task": path} if run_id else None
    )
    bypassed = task.cache.startswith("caching is off")
    decision = "HIT" if task.state is TaskState.CACHED else "BYPASS" if bypassed else "MISS"
    return by.own(
        "PlatformCacheRunFacet",
        decision=decision,
        reason=task.cache,
        producedBy=source,
    )


def _budget(task: Task, by: Producer) -> dict[str, Any]:
    return by.own(
        "PlatformBudgetRunFacet",
        wallSeconds=task.usage.wall_s,
        cpuSeconds=task.usage.cpu_s,
        peakMemoryBytes=task.usage.peak_memory_bytes,
        money=round(task.usage.cpu_s / 3600 * by.money_per_cpu_hour, 6),
        attempts=task.attempts,
    )


def _gate(task: Task, by: Producer) -> dict[str, Any] | None:
    """Of any task with a verdict: gate, registration, canary analysis."""
    verdict, reasons = (task.outputs.parameters.get(n) for n in ("verdict", "reasons"))
    if not isinstance(verdict, str):
        return None
    told = [str(r) for r in reasons] if isinstance(reasons, list) else []
    return by.own("PlatformGateRunFacet", verdict=verdict, reasons=told)


def _approval(task: Task, by: Producer) -> dict[str, Any] | None:
    asked, used = (p.parameters.get("approval_id") for p in (task.outputs, task.inputs))
    if not (asked or used):
        return None
    role = "requested" if asked else "used"
    return by.own("PlatformApprovalRunFacet", approvalId=str(asked or used), role=role)
