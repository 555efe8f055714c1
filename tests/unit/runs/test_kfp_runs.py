"""Runs through an API server that misbehaves, and pods that keep a run from going on."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from platform_ctl.cluster.api import ResourceKind
from platform_ctl.cluster.kfp import Kfp
from platform_ctl.cluster.owner import NODE_NAME
from platform_ctl.errors import (
    BadParameter,
    ClusterForbidden,
    KfpUnavailable,
    NothingYet,
    WorkloadFailed,
)
from platform_ctl.ir.pipeline import Component
from platform_ctl.runs.kubernetes.api import RunsApi
from platform_ctl.runs.kubernetes.nodes import WorkflowNode
from platform_ctl.runs.kubernetes.outputs import read_outputs
from platform_ctl.runs.kubernetes.runs import KfpRuns
from platform_ctl.runs.kubernetes.submission import prepare
from platform_ctl.runs.kubernetes.workloads import ClusterWorkloads
from platform_ctl.runs.record import Blocker, RunEvent, RunRequest, RunState, Task, TaskState
from platform_ctl.settings import KubernetesSettings
from tests.fakes.kfp_runs import Runs
from tests.fakes.kfp_server import (
    INTERNAL,
    INVALID,
    NOT_FOUND,
    PREFIX,
    UNAVAILABLE,
    FakeKfp,
    Fault,
    Refused,
    Request,
    Router,
    serve,
)
from tests.support import run_pipelines

IMAGE = "example/python-recipe:1"
CREATE = "/runs$"


def request(folder: Path, document: dict[str, Any] | None = None, **kwargs: Any) -> RunRequest:
    file = run_pipelines.write(folder, "p", document or run_pipelines.judged(IMAGE))
    return RunRequest(file, {"x": 1}, **kwargs)


def runs(fake: FakeKfp, **kwargs: Any) -> KfpRuns:
    return KfpRuns(RunsApi(Kfp(fake.url, timeout_s=2.0)), poll_s=0.01, **kwargs)


def test_a_server_that_fails_after_it_created_the_run_has_created_it(tmp_path: Path) -> None:
    part = Runs()
    for fault in (
        Fault("POST", CREATE, code=INTERNAL, after_commit=True, times=1),
        Fault("POST", CREATE, drop=True, after_commit=True, times=1),
    ):
        part.kept.clear()
        with serve(part, faults=[fault]) as fake:
            run = runs(fake).submit(request(tmp_path))
            assert list(part.kept) == [run.id]


def test_what_the_server_refuses_leaves_nothing(tmp_path: Path) -> None:
    part = Runs()
    for code in (INVALID, INTERNAL):
        faults = [Fault("POST", CREATE, code=code)]
        with serve(part, faults=faults) as fake, pytest.raises(WorkloadFailed):
            runs(fake).submit(request(tmp_path))
    with serve(part, faults=[Fault(code=UNAVAILABLE)]) as fake, pytest.raises(KfpUnavailable):
        runs(fake).submit(request(tmp_path))
    with serve(part, token="right") as fake, pytest.raises(KfpUnavailable, match="who calls"):
        runs(fake).list(1)
    assert not part.kept


def test_a_wrong_parameter_is_refused_before_the_server_is_asked(tmp_path: Path) -> None:
    with serve(Runs()) as fake:
        wrong = RunRequest(request(tmp_path).pipeline, {"x": "many"})
        with pytest.raises(BadParameter):
            runs(fake).submit(wrong)
        assert not fake.requests


def test_callers_with_one_key_at_once_are_left_with_one_run(tmp_path: Path) -> None:
    part, ids = Runs(step_s=5.0), list[str]()
    asked = request(tmp_path, idempotency_key="approval 7")
    with serve(part, faults=[Fault("POST", CREATE, delay_s=0.1)]) as fake:
        callers = [
            threading.Thread(target=lambda: ids.append(runs(fake).submit(asked).id))
            for _ in range(4)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert len(set(ids)) == 1 and list(part.kept) == [ids[0]]


def test_retry_of_a_failed_run_executes_it_again(tmp_path: Path) -> None:
    part = Runs()
    with serve(part) as fake:
        port = runs(fake)
        failed = port.run(request(tmp_path, run_pipelines.chain(IMAGE, "boom")), lambda e: None)
        assert failed.state is RunState.FAILED
        again = port.resume(failed.id, lambda e: None)
        assert again.id == failed.id and list(part.kept) == [failed.id]


def test_a_server_that_restarts_is_waited_for(tmp_path: Path) -> None:
    with serve(Runs(step_s=0.2)) as fake:
        port = runs(fake)
        started = port.submit(request(tmp_path))
        fake.faults += [Fault("GET", started.id, drop=True, times=4)]
        assert [e.state for e in port.watch(started.id)][-1] == RunState.SUCCEEDED


def test_a_server_that_stays_away_ends_the_watch_and_not_the_run(tmp_path: Path) -> None:
    events: list[RunEvent] = []
    with serve(Runs(step_s=0.2)) as fake:
        fake.faults += [Fault("GET", "/runs/", drop=True)]
        fake.faults[0].times = 0
        port = runs(fake, tries=3, sleep=lambda s: setattr(fake.faults[0], "times", -1))
        with pytest.raises(KfpUnavailable):
            port.run(request(tmp_path), events.append)
    assert events[-1].text.startswith("the run continues")


def test_pages_and_deleted_runs(tmp_path: Path) -> None:
    part = Runs()
    with serve(part) as fake:
        port = runs(fake)
        with pytest.raises(NothingYet):
            port.get("latest")
        for _ in range(105):
            spec = run_pipelines.chain(IMAGE, "boom")
            values = {"parameters": {"x": 1}}
            port.api.create({"display_name": "a", "pipeline_spec": spec, "runtime_config": values})
        assert len(port.list(-1)) == 105 and len(port.list(3)) == 3
        port.delete(port.get(next(iter(part.kept))))
        assert len(part.kept) == 104


def test_no_cache_switches_it_off_in_every_dag(tmp_path: Path) -> None:
    with serve(Runs()) as fake:
        runs(fake).submit(request(tmp_path, use_cache=False))
        (sent,) = [json.loads(r.body) for r in fake.requests if r.method == "POST"]
    assert "enableCache" not in json.dumps(sent["pipeline_spec"])


@dataclass
class Versions:
    """The uploaded version that runs name instead of carrying their IR; None: deleted."""

    spec: dict[str, Any] | None

    def routes(self, router: Router) -> None:
        router.add("GET", f"{PREFIX}/pipelines/{{pipeline}}/versions/{{version}}", self.get)

    def get(self, request: Request) -> dict[str, Any]:
        if self.spec is None:
            raise Refused(NOT_FOUND, "no such version")
        return {"pipeline_spec": self.spec}


@pytest.mark.parametrize("kept", [True, False])
def test_a_run_of_an_uploaded_version_is_read_by_its_reference(tmp_path: Path, kept: bool) -> None:
    part = Runs()
    versions = Versions(run_pipelines.judged(IMAGE) if kept else None)
    with serve(part, versions) as fake:
        run = runs(fake).run(request(tmp_path), lambda event: None)
        said = part.kept[run.id].said
        del said["pipeline_spec"]
        said["pipeline_version_reference"] = {"pipeline_id": "p", "pipeline_version_id": "v"}
        read = runs(fake).get(run.id)
    assert read.state is RunState.SUCCEEDED
    assert len(read.tasks) == (3 if kept else 0)


# ---- pods --------------------------------------------------------------------------


@dataclass
class FakePods:
    """The pods of a namespace, for ``ClusterWorkloads``."""

    pods: list[dict[str, Any]] = field(default_factory=list)

    def list(self, kind: ResourceKind, *, labels: str = "") -> list[dict[str, Any]]:
        assert (kind.kind, labels) == ("Pod", "pipeline/runid=r1")
        return self.pods


def pod(node: str, status: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"name": "p-1", "namespace": "team", "annotations": {NODE_NAME: node}}
    return {"metadata": metadata, "status": status}


def waiting(reason: str) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": "said so"}}
    return {"phase": "Pending", "containerStatuses": [{"name": "main", "state": state}]}


UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "cpu"}
    ],
}
KILLED = {"reason": "OOMKilled", "exitCode": 137}
OOM = {"containerStatuses": [{"name": "main", "state": {"terminated": KILLED}}]}


@pytest.mark.parametrize(
    ("status", "reason", "lasting"),
    [
        (waiting("ImagePullBackOff"), "ImagePullBackOff", True),
        (waiting("CreateContainerConfigError"), "CreateContainerConfigError", True),
        (UNSCHEDULABLE, "Unschedulable", True),
        (OOM, "OOMKilled", False),
        ({"reason": "Evicted", "message": "disk"}, "Evicted", False),
    ],
)
def test_a_pod_says_why_its_task_stands(status: dict[str, Any], reason: str, lasting: bool) -> None:
    node = WorkflowNode(
        Task("a.b", "b", "comp-b", TaskState.RUNNING), executor="w(0).b(0).executor(0)"
    )
    reader = ClusterWorkloads(FakePods([pod(node.executor, status), pod("other", {})]))  # type: ignore[arg-type]
    (path, blocker), *_ = reader.blockers("r1", [node]).items()
    assert (path, blocker.reason, blocker.lasting) == ("a.b", reason, lasting)
    assert blocker.fix == "kubectl -n team describe pod p-1"


@dataclass(frozen=True)
class Held:
    """Every task that runs is held by the same thing."""

    lasting: bool

    def blockers(self, run_id: str, nodes: Sequence[WorkflowNode]) -> dict[str, Blocker]:
        held = Blocker("ImagePullBackOff", "no such image", self.lasting)
        return {node.task.path: held for node in nodes}


def test_a_run_that_no_waiting_ends_is_stuck(tmp_path: Path) -> None:
    with serve(Runs(step_s=60.0)) as fake:
        started = runs(fake, workloads=Held(lasting=True)).submit(request(tmp_path))
        assert started.state is RunState.RUNNING
        assert [t.path for t in started.stuck] == ["judge"]
        assert not runs(fake, workloads=Held(lasting=False)).get(started.id).stuck


class Forbidden:
    """Pods that this account may not list."""

    def blockers(self, run_id: str, nodes: Sequence[WorkflowNode]) -> dict[str, Blocker]:
        raise ClusterForbidden("pods is forbidden", where="https://cluster", fix="ask")


def test_who_may_not_see_pods_still_sees_runs(tmp_path: Path) -> None:
    with serve(Runs(step_s=60.0)) as fake:
        started = runs(fake, workloads=Forbidden()).submit(request(tmp_path))
        assert started.state is RunState.RUNNING and started.tasks


# ---- what is submitted, what comes out ------------------------------------------------


def test_our_image_gets_settings_and_no_other_image_does() -> None:
    documents = [run_pipelines.chain(IMAGE, "boom")]
    settings = KubernetesSettings(image="registry/ours@sha256:" + "0" * 64)
    first, second = prepare(documents, settings, ["PLATFORM_CTL_TARGET"])
    assert settings.image in yaml.safe_dump(first) and IMAGE not in yaml.safe_dump(first)
    executor = second["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-double"]
    assert executor["configMapAsEnv"][0]["keyToEnv"][0]["configMapKey"] == "PLATFORM_CTL_TARGET"
    assert executor["secretAsEnv"][0]["optional"] is True
    assert prepare(documents, KubernetesSettings(), ["A"]) == documents


def test_outputs_are_the_launchers_whatever_the_step_printed() -> None:
    head = "I1127 22:57:49.146636      14 launcher_v2.go:1230] ExecutorOutput: "
    forged, real = ({"parameterValues": {"verdict": v, "x": 1}} for v in ("forged", "failed"))
    log = f"{head}{json.dumps(forged)}\n{head}{json.dumps(real)}\nI1127 more"
    declared = {"outputDefinitions": {"parameters": {"verdict": {"parameterType": "STRING"}}}}
    component = msgspec.convert(declared, Component)
    assert read_outputs(log.encode(), component).parameters == {"verdict": "failed"}
    for broken in (b"", b"no message", head.encode() + b"{"):
        assert not read_outputs(broken, component).parameters


def test_a_log_that_is_gone_is_no_log(tmp_path: Path) -> None:
    part = Runs()
    with serve(part) as fake:
        run = runs(fake).submit(request(tmp_path))
        for step in part.kept[run.id].steps.values():
            step.log = ""
        again = runs(fake).get(run.id)
        assert {runs(fake).log(again, task) for task in again.tasks} == {b""}


def test_runs_that_move_traffic_have_an_account_of_their_own(tmp_path: Path) -> None:
    part = Runs()
    for accounts, expected in (({"judged": "deployer"}, "deployer"), ({}, "pipeline-runner")):
        with serve(part) as fake:
            made = runs(fake, service_account="pipeline-runner", accounts=accounts)
            run = made.submit(request(tmp_path))
            assert part.kept[run.id].said["service_account"] == expected
