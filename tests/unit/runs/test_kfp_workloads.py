"""Pods and jobs of runs: why a task does not proceed, and what ending a run removes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from platform_ctl.cluster.kfp import Kfp
from platform_ctl.cluster.owner import NODE_NAME, RUN_LABEL
from platform_ctl.runs.kubernetes.api import RunsApi
from platform_ctl.runs.kubernetes.nodes import WorkflowNode
from platform_ctl.runs.kubernetes.runs import KfpRuns
from platform_ctl.runs.kubernetes.workloads import ClusterWorkloads
from platform_ctl.runs.record import RunRequest, RunState, Task, TaskState
from platform_ctl.training.kubernetes import training
from platform_ctl.training.kubernetes.manifests import RUN_LABEL as JOB_OF
from platform_ctl.tuning.kubernetes import tuning
from tests.fakes.kfp_runs import Runs
from tests.fakes.kfp_server import serve
from tests.fakes.objects import FakeObjects
from tests.support import run_pipelines

EXECUTOR = "w(0).root(0).tune(0).executor(0)"


@dataclass(frozen=True)
class Said:
    reason: str
    lasting: bool = True
    step: str = EXECUTOR
    message: str = "said so"
    fix: str = "kubectl get experiments"
    pod: str = "p-1"


def node(name: str = "tune", state: TaskState = TaskState.RUNNING) -> WorkflowNode:
    return WorkflowNode(
        Task(name, name, f"comp-{name}", state), executor=f"w(0).root(0).{name}(0).executor(0)"
    )


def workloads(objects: FakeObjects, *said: Said, sleep: Callable[[float], None] = lambda s: None):
    ends = [partial(training.end_run, objects), partial(tuning.end_run, objects)]
    return ClusterWorkloads(objects, [lambda run_id: said], ends, sleep)  # type: ignore[arg-type]


def put_pod(objects: FakeObjects, run_id: str, status: dict) -> None:
    metadata = {
        "name": "step",
        "labels": {RUN_LABEL: run_id},
        "annotations": {NODE_NAME: EXECUTOR},
    }
    objects.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})


def test_a_job_that_cannot_go_on_holds_the_step_that_waits_for_it() -> None:
    objects = FakeObjects()
    put_pod(objects, "r1", {"phase": "Running"})
    said = (Said("TrialFailed", lasting=False), Said("SuggestionNotReady"))
    found = workloads(objects, *said).blockers("r1", [node(), node("other")])
    assert list(found) == ["tune"]
    blocker = found["tune"]
    assert (blocker.reason, blocker.lasting, blocker.of_job) == ("SuggestionNotReady", True, True)
    assert blocker.fix == "kubectl get experiments"


def test_the_steps_own_pod_is_named_before_its_job_unless_it_only_failed() -> None:
    killed = {"containerStatuses": [{"name": "main", "state": {"terminated": {}}}]}
    terminated = killed["containerStatuses"][0]["state"]["terminated"]  # type: ignore[index]
    objects = FakeObjects()
    read = workloads(objects, Said("TrialNeverReported", lasting=False)).blockers
    for reason, shown in (("OOMKilled", "OOMKilled"), ("Error", "TrialNeverReported")):
        terminated.update({"reason": reason, "exitCode": 1})
        put_pod(objects, "r1", killed)
        assert read("r1", [node(state=TaskState.FAILED)])["tune"].reason == shown


def test_a_job_that_names_no_step_is_of_the_only_one() -> None:
    read = workloads(FakeObjects(), Said("Queued", step="")).blockers
    assert list(read("r1", [node()])) == ["tune"]
    assert not read("r1", [node(), node("train")])


def workflow(phase: str, message: str) -> dict[str, Any]:
    node = {
        "name": EXECUTOR,
        "type": "Pod",
        "phase": phase,
        "message": message,
        "templateName": "impl",
        "inputs": {"parameters": [{"name": "key", "value": "team"}]},
    }
    labels = {"{{inputs.parameters.key}}": "mine"}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "w", "labels": {RUN_LABEL: "r1"}},
        "spec": {"templates": [{"name": "impl", "metadata": {"labels": labels}}]},
        "status": {"nodes": {"w-1": node}},
    }


@pytest.mark.parametrize("phase", ["Pending", "Error"])
def test_a_step_for_which_no_pod_can_be_made_says_what_refuses_it(phase: str) -> None:
    objects = FakeObjects()
    objects.put(workflow(phase, "exceeded quota: small"))
    objects.put(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "small"},
            "status": {"hard": {"pods": "1"}, "used": {"pods": "1"}},
        }
    )
    blocker = workloads(objects).blockers("r1", [node()])["tune"]
    assert (blocker.reason, blocker.lasting) == ("QuotaExceeded", True)
    assert blocker.fix == "kubectl -n test describe resourcequota small"
    put_pod(objects, "r1", {"phase": "Running"})
    assert not workloads(objects).blockers("r1", [node()])


def test_a_run_that_failed_before_its_first_task_says_what_refused_its_pods() -> None:
    objects = FakeObjects()
    objects.put(workflow("Error", "Internal error occurred"))
    assert workloads(objects).refusal("r1") == "FailedCreate: Internal error occurred"
    objects.put(workflow("Succeeded", "a word"))
    assert workloads(objects).refusal("r1") == ""


def put_jobs(objects: FakeObjects, run_id: str) -> None:
    for version, kind in (("ray.io/v1", "RayJob"), ("kubeflow.org/v1beta1", "Experiment")):
        for of in (run_id, "another"):
            metadata = {"name": f"{kind}-{of}".lower(), "labels": {JOB_OF: of}}
            objects.put({"apiVersion": version, "kind": kind, "metadata": metadata})


def test_jobs_go_when_no_step_is_left_that_would_make_them_anew() -> None:
    objects = FakeObjects()
    put_jobs(objects, "r1")
    put_pod(objects, "r1", {"phase": "Running"})
    seen: list[int] = []

    def end_the_step(seconds: float) -> None:
        seen.append(len(objects.deleted))
        put_pod(objects, "r1", {"phase": "Failed"})

    workloads(objects, sleep=end_the_step).stop("r1")
    assert seen == [0]
    assert {name for _, name in objects.deleted} == {"rayjob-r1", "experiment-r1"}


def test_cancel_and_prune_leave_no_job(tmp_path: Path) -> None:
    objects = FakeObjects()
    with serve(Runs()) as fake:
        port = KfpRuns(RunsApi(Kfp(fake.url)), poll_s=0.01, workloads=workloads(objects))
        file = run_pipelines.write(tmp_path, "p", run_pipelines.chain("example/python:1", "wait"))
        started = port.submit(RunRequest(file, {"x": 1}))
        put_jobs(objects, started.id)
        cancelled = port.cancel(started.id)
        assert cancelled.state is RunState.CANCELED
        assert {name for _, name in objects.objects} == {"rayjob-another", "experiment-another"}
        put_jobs(objects, started.id)
        port.delete(cancelled)
    assert {name for _, name in objects.objects} == {"rayjob-another", "experiment-another"}
