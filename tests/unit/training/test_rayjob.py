"""Fits on a cluster, against KubeRay's operator on a fake API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from platform_ctl.cluster.owner import OwnPod
from platform_ctl.cluster.store import RemoteStore
from platform_ctl.errors import (
    BadParameter,
    ClusterRefused,
    ConfigError,
    RayUnavailable,
    TrainingFailed,
)
from platform_ctl.progress import Progress
from platform_ctl.settings import KubernetesSettings, TrainingSettings
from platform_ctl.training.kubernetes import findings
from platform_ctl.training.kubernetes.manifests import JobPlan, render, tolerations
from platform_ctl.training.kubernetes.training import KubernetesTraining
from platform_ctl.training.port import TrainingJob, WorkerResources
from tests.fakes.kuberay import FakeKubeRay
from tests.fakes.objects import FakeObjects

SETTINGS = KubernetesSettings(namespace="test", image="registry/recipe@sha256:0")


def training(
    objects: FakeObjects, tmp_path: Path, own_pod: OwnPod | None = None, **settings: Any
) -> KubernetesTraining:
    return KubernetesTraining(
        objects,
        RemoteStore(f"file://{tmp_path}/store"),
        TrainingSettings(**settings),
        SETTINGS,
        own_pod or OwnPod(),
        sleep=lambda seconds: None,
    )


def job(tmp_path: Path, function: str = "copy", **fields: Any) -> TrainingJob:
    rows = tmp_path / "rows.txt"
    rows.write_text("2.0")
    given = {
        "name": "run/train",
        "inputs": {"rows": str(rows)},
        "out": str(tmp_path / "out"),
        "arguments": {"factor": 1.5} if function == "copy" else {},
        "run_id": "run",
        "task": "train",
    }
    return TrainingJob(function=f"tests.support.fits:{function}", **{**given, **fields})


def test_a_fit_leaves_its_model_and_no_object(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKubeRay(objects)
    assert training(objects, tmp_path).run(job(tmp_path, workers=2)) == {
        "loss": 3.0,
        "num_workers": 2,
    }
    assert (tmp_path / "out" / "model.txt").read_text() == "3.0"
    assert not [kind for kind, _ in objects.objects if kind == "RayJob"]


def test_epochs_are_heard(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKubeRay(objects)
    heard: list[Progress] = []
    training(objects, tmp_path).run(job(tmp_path, "here", epochs=3), on_progress=heard.append)
    assert (heard[-1].done, heard[-1].total) == (3, 3)


def test_a_second_process_adopts_the_fit_of_one_that_was_killed(tmp_path: Path) -> None:
    objects = FakeObjects()
    ray = FakeKubeRay(objects)

    class Killed(BaseException):
        pass

    def die(seconds: float) -> None:
        raise Killed

    first = training(objects, tmp_path)
    object.__setattr__(first, "sleep", die)
    with pytest.raises(Killed):
        first.run(job(tmp_path))
    training(objects, tmp_path).run(job(tmp_path))
    training(objects, tmp_path).run(job(tmp_path))
    assert len(ray.ran) == 1


def test_a_lost_head_is_replaced_and_the_fit_goes_on(tmp_path: Path) -> None:
    objects = FakeObjects()
    ray = FakeKubeRay(objects, lose_heads=2)
    training(objects, tmp_path, retries=2).run(job(tmp_path))
    assert [name.rpartition("-")[2] for name in ray.ran] == ["0", "1", "2"]


def test_heads_that_are_lost_for_good_fail_the_fit_by_name(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKubeRay(objects, lose_heads=9)
    with pytest.raises(TrainingFailed, match="2 attempts"):
        training(objects, tmp_path, retries=1).run(job(tmp_path))


def test_the_time_limit_is_named(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKubeRay(objects, late=True)
    with pytest.raises(TrainingFailed, match="DeadlineExceeded"):
        training(objects, tmp_path, retries=0).run(job(tmp_path))


def test_what_the_function_raises_is_not_tried_again(tmp_path: Path) -> None:
    objects = FakeObjects()
    ray = FakeKubeRay(objects)
    with pytest.raises(TrainingFailed, match="the rows make no sense"):
        training(objects, tmp_path, retries=5).run(job(tmp_path, "broken"))
    assert len(ray.ran) == 1


def test_pods_that_do_not_come_up_are_named(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKubeRay(objects, comes_up=False)
    with pytest.raises(RayUnavailable, match="ImagePullBackOff") as caught:
        training(objects, tmp_path, start_timeout_s=-1).run(job(tmp_path))
    assert caught.value.fix.startswith("kubectl -n test describe pod")
    (found,) = findings.findings(objects, "run")
    assert (found.reason, found.task) == ("ImagePullBackOff", "train")


def test_a_head_that_is_slow_to_be_ready_is_a_finding_and_not_stuck(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKubeRay(objects, comes_up=False)
    with pytest.raises(RayUnavailable):
        training(objects, tmp_path, start_timeout_s=-1).run(job(tmp_path))
    pod = next(o for (kind, _), o in objects.objects.items() if kind == "Pod")
    running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    pod["status"]["containerStatuses"] = [{"name": "ray-head", "ready": False, "state": running}]
    (found,) = findings.findings(objects, "run")
    assert found.reason is findings.TrainingReason.HEAD_NOT_READY
    assert "ray[default]" in found.message and not found.lasting


def test_a_queued_fit_waits_and_says_so(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKubeRay(objects)
    looks = 0

    def admit(seconds: float) -> None:
        nonlocal looks
        looks += 1
        for (kind, _), found in objects.objects.items():
            if kind == "RayJob" and looks == 2:
                (waiting,) = findings.findings(objects, "run")
                assert waiting.reason is findings.TrainingReason.QUEUED
                found["spec"]["suspend"] = False  # what Kueue does

    made = training(objects, tmp_path, queue="team", start_timeout_s=60)
    object.__setattr__(made, "sleep", admit)
    assert made.run(job(tmp_path))["loss"] == 3.0


def test_an_operator_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterRefused, match="no RayJob"):
        training(FakeObjects(missing=frozenset({"RayJob"})), tmp_path).run(job(tmp_path))


def test_gpus_that_no_node_has_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    objects = FakeObjects()
    with pytest.raises(BadParameter, match="no node of the cluster has"):
        training(objects, tmp_path).run(job(tmp_path, resources=WorkerResources(gpus=1)))
    assert not objects.objects
    assert not (tmp_path / "store").exists()


def test_ending_a_run_removes_what_it_left(tmp_path: Path) -> None:
    objects = FakeObjects()
    FakeKubeRay(objects, comes_up=False)
    made = training(objects, tmp_path, start_timeout_s=-1)
    with pytest.raises(RayUnavailable):
        made.run(job(tmp_path))
    made.end_run("run")
    made.end_run("run")
    assert not [kind for kind, _ in objects.objects if kind == "RayJob"]


def plan(**training_settings: Any) -> JobPlan:
    return JobPlan(
        name="fit-0",
        attempt=0,
        digest="d",
        files_uri="s3://bucket/training/d",
        image=SETTINGS.image,
        ray_version="2.60.0",
        training=TrainingSettings(**training_settings),
        kubernetes=SETTINGS,
        owners=[{"kind": "Workflow", "name": "run"}],
    )


def test_a_rayjob_has_what_the_settings_say(tmp_path: Path) -> None:
    wanted = job(tmp_path, workers=3, resources=WorkerResources(cpus=0.5, memory_mib=512, gpus=1))
    made = render(wanted, plan(queue="team", tolerations=["gpu:NoSchedule"], timeout_s=60))
    spec, (group,) = made["spec"], made["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    assert (group["replicas"], spec["suspend"], spec["activeDeadlineSeconds"]) == (3, True, 60)
    assert container["resources"]["requests"] == {
        "cpu": "500m",
        "memory": "512Mi",
        "nvidia.com/gpu": "1",
    }
    assert group["template"]["spec"]["tolerations"] == [
        {"key": "gpu", "effect": "NoSchedule", "operator": "Exists"}
    ]
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert made["metadata"]["ownerReferences"] == [{"kind": "Workflow", "name": "run"}]


@pytest.mark.parametrize("kind", ["TrainJob", "PyTorchJob"])
def test_the_previews_ask_for_the_same_workers(tmp_path: Path, kind: str) -> None:
    made = render(job(tmp_path, workers=3), plan(kind=kind))
    assert made["kind"] == kind
    if kind == "TrainJob":
        assert made["spec"]["trainer"]["numNodes"] == 3
    else:
        replicas = made["spec"]["pytorchReplicaSpecs"]
        assert (replicas["Master"]["replicas"], replicas["Worker"]["replicas"]) == (1, 2)


@pytest.mark.parametrize("text", ["gpu", "gpu=true", ":NoSchedule", "gpu=true:Sometimes"])
def test_a_toleration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE:EFFECT"):
        tolerations([text])
