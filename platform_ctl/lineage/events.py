"""OpenLineage run events of runs and tasks, as plain JSON values.

https://openlineage.io/spec/2-0-2: a pipeline is a Job, a task the Job
``PIPELINE.PATH``; a run's id is its own, a task run's is derived from it, so
that it is stable across retries. What happened inside a task (trials of a search,
a feature view brought up to date) are child runs of the task's. Facets of our own
begin with ``platform_``; their schemas are in ``docs/schemas``. Nothing here
imports openlineage.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from platform_ctl.lineage import datasets
from platform_ctl.lineage.facets import PRODUCER, SPEC, Dataset, Event, Producer, text
from platform_ctl.recipe.datasets import AuditReport
from platform_ctl.runs.record import CacheUse, Run, RunState, Task, TaskState
from platform_ctl.text import redacted

ENGINE = "platform-ctl"
DAG, TASK, MATERIALIZATION, TRIAL = "DAG", "TASK", "MATERIALIZATION", "TRIAL"
"""Job types: a pipeline, a task, and what happens inside a task."""
AUDIT = "AUDIT"
"""Job type of an audit, which is no part of a run."""

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


def task_run_id(run_id: str, path: str) -> str:
    """The OpenLineage run id of a task."""
    return str(uuid.uuid5(uuid.UUID(run_id), path))


def nominal_time(tasks: Iterable[Task]) -> str:
    """What the run is about: the ``as_of`` that its first task to know one names, or ""."""
    for task in tasks:
        for values in (task.outputs.parameters, task.inputs.parameters):
            about = values.get("as_of")
            if isinstance(about, str) and _is_time(about):
                return about
    return ""


def run_start(run: Run, by: Producer) -> Event:
    return _event(
        "START",
        run.started_at or run.created_at,
        run.id,
        _run_facets(run, "", by),
        _job(run.pipeline, DAG, run.pipeline, by),
        by,
    )


def run_end(run: Run, by: Producer) -> Event:
    """COMPLETE, FAIL or ABORT of a run that has ended."""
    facets = _run_facets(run, nominal_time(run.tasks), by)
    if run.error:
        facets["errorMessage"] = error(run.error, by)
    verdicts = [{"task": v.task, "verdict": v.verdict} for v in run.verdicts]
    facets["platform_run"]["verdicts"] = verdicts
    return _event(
        _RUN_ENDS[run.state],
        run.ended_at or run.created_at,
        run.id,
        facets,
        _job(run.pipeline, DAG, run.pipeline, by),
        by,
    )


def task_start(run: Run, task: Task, by: Producer, about: str = "") -> Event:
    """``about``: the run's nominal time, as far as it is known by now."""
    return _event(
        "START",
        task.started_at or run.created_at,
        task_run_id(run.id, task.path),
        _task_facets(run, about or nominal_time([task]), by),
        _job(f"{run.pipeline}.{task.path}", TASK, run.pipeline, by),
        by,
        inputs=datasets.inputs(run, task, by),
    )


def task_end(
    run: Run,
    task: Task,
    by: Producer,
    produced_by: tuple[str, str] = ("", ""),
    about: str = "",
) -> Event:
    """COMPLETE, FAIL or ABORT; ``produced_by`` is (run id, task path) of a cached task's source."""
    facets = _task_facets(run, about or nominal_time([task]), by)
    facets["platform_cache"] = _cache(task, produced_by, by)
    facets["platform_budget"] = _budget(task, by)
    if task.state is TaskState.FAILED:
        facets["errorMessage"] = error(task.error, by)
    gate, approval = _gate(task, by), _approval(task, by)
    facets |= {"platform_gate": gate} if gate else {}
    facets |= {"platform_approval": approval} if approval else {}
    return _event(
        _ENDS[task.state],
        task.ended_at or run.created_at,
        task_run_id(run.id, task.path),
        facets,
        _job(f"{run.pipeline}.{task.path}", TASK, run.pipeline, by),
        by,
        inputs=datasets.inputs(run, task, by),
        outputs=datasets.outputs(run, task, by) if task.state.good else [],
    )


def materialisations(run: Run, task: Task, by: Producer, about: str = "") -> list[Event]:
    """Child runs of an executed task: each feature view that it brought in step with its table."""
    events = []
    for name, (table, view) in datasets.materialised(run, task, by).items():
        for kind, at, views in (
            ("START", task.started_at, []),
            ("COMPLETE", task.ended_at, [view]),
        ):
            events.append(
                child(run, task, (name, MATERIALIZATION, name), kind, at or run.created_at, by,
                      about=about, inputs=[table], outputs=views)
            )  # fmt: skip
    return events


def audit(
    pipeline: str,
    run_id: str,
    times: tuple[str, str],
    report: AuditReport,
    read: Dataset,
    by: Producer,
) -> list[Event]:
    """START and COMPLETE of an audit of ``read``, with what it asserted; ``times``: of the two."""
    asserted = {
        "assertion": "point_in_time",
        "description": "Recomputed from what was known at its event time, no row differs",
        "success": report.ok,
        "expected": "0 mismatches",
        "actual": f"{len(report.mismatches)} mismatches in {report.rows_checked} rows",
    }
    facet = by.facet("1-1-0/DataQualityAssertionsDatasetFacet", assertions=[asserted])
    checked = {
        **read,
        "inputFacets": {**read.get("inputFacets", {}), "dataQualityAssertions": facet},
    }
    facets = {"processing_engine": _engine(by), **_nominal(times[0], by)}
    job = _job(f"{pipeline}.audit", AUDIT, pipeline, by)
    return [
        _event("START", times[0], run_id, facets, job, by, inputs=[read]),
        _event("COMPLETE", times[1], run_id, facets, job, by, inputs=[checked]),
    ]  # fmt: skip


def child(
    run: Run,
    task: Task,
    what: tuple[str, str, str],
    kind: str,
    at: str,
    by: Producer,
    *,
    about: str = "",
    facets: Mapping[str, Any] | None = None,
    inputs: list[Dataset] | None = None,
    outputs: list[Dataset] | None = None,
) -> Event:
    """Of a run inside a task's; ``what``: (job's last name, job type, key of the run)."""
    job, job_type, key = what
    parent = task_run_id(run.id, task.path)
    of_task = _ref(parent, f"{run.pipeline}.{task.path}", by)
    run_facets = {
        "processing_engine": _engine(by),
        **_nominal(about, by),
        "parent": by.facet("1-2-0/ParentRunFacet", **of_task, root=_ref(run.id, run.pipeline, by)),
        **(facets or {}),
    }
    named = _job(f"{run.pipeline}.{task.path}.{job}", job_type, run.pipeline, by)
    run_id = str(uuid.uuid5(uuid.UUID(parent), key))
    return _event(kind, at, run_id, run_facets, named, by, inputs=inputs, outputs=outputs)


def error(message: str, by: Producer) -> dict[str, Any]:
    message_text = redacted(message) or "unknown"
    return by.facet(
        "1-0-1/ErrorMessageRunFacet", message=message_text, programmingLanguage="python"
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
    inputs: list[Dataset] | None = None,
    outputs: list[Dataset] | None = None,
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
    recipe = by.naming.recipe(pipeline, "") if kind == DAG else None
    if recipe is not None:
        facets["documentation"] = by.facet("1-1-0/DocumentationJobFacet", description=recipe.title)
    return {"namespace": by.naming.namespace, "name": name, "facets": facets}


def _ref(run_id: str, job: str, by: Producer) -> dict[str, Any]:
    return {"run": {"runId": run_id}, "job": {"namespace": by.naming.namespace, "name": job}}


def _engine(by: Producer) -> dict[str, Any]:
    return by.facet(
        "1-1-1/ProcessingEngineRunFacet",
        name=ENGINE,
        version=by.version,
        openlineageAdapterVersion=by.version,
    )


def _nominal(at: str, by: Producer) -> dict[str, Any]:
    if not at:
        return {}
    return {"nominalTime": by.facet("1-0-1/NominalTimeRunFacet", nominalStartTime=at)}


def _run_facets(run: Run, about: str, by: Producer) -> dict[str, Any]:
    return {
        "processing_engine": _engine(by),
        **_nominal(about or run.created_at, by),
        "platform_run": by.own(
            "PlatformRunFacet",
            name=run.name,
            target=by.target,
            useCache=run.use_cache,
            registryUri=by.registry_uri,
            parameters={k: text(v) for k, v in run.parameters.items()},
        ),
    }


def _task_facets(run: Run, about: str, by: Producer) -> dict[str, Any]:
    of = _ref(run.id, run.pipeline, by)
    return {
        "processing_engine": _engine(by),
        **_nominal(about or run.created_at, by),
        "parent": by.facet("1-2-0/ParentRunFacet", **of, root=of),
    }


def _cache(task: Task, produced_by: tuple[str, str], by: Producer) -> dict[str, Any]:
    run_id, path = produced_by
    source = (
        {"runId": run_id, "taskRunId": task_run_id(run_id, path), "task": path} if run_id else None
    )
    decision = task.cache_use or CacheUse.MISS
    return by.own(
        "PlatformCacheRunFacet",
        decision=str(decision),
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
    texts = [str(r) for r in reasons] if isinstance(reasons, list) else []
    return by.own("PlatformGateRunFacet", verdict=verdict, reasons=texts)


def _approval(task: Task, by: Producer) -> dict[str, Any] | None:
    requested, used = (p.parameters.get("approval_id") for p in (task.outputs, task.inputs))
    if not (requested or used):
        return None
    role = "requested" if requested else "used"
    return by.own("PlatformApprovalRunFacet", approvalId=str(requested or used), role=role)


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
