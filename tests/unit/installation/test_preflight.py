"""Twelve faults of a cluster, one at a time: each is named, with the command that mends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.installation.check import check_cluster
from platform_ctl.installation.components import InstallComponent, VersionSource
from platform_ctl.installation.preflight import (
    CONFIG_KEYS,
    DEFAULT_CLASS,
    INJECTION,
    SECRET_KEYS,
)
from platform_ctl.installation.probe import ProbeReport, checks_of
from platform_ctl.settings import KubernetesSettings, TrainingSettings
from tests.support.served_objects import ServedObjects
from tests.unit.installation.test_check import DEFINITIONS, DEPLOYMENTS, HEALTHZ, KATIB, served

SETTINGS = KubernetesSettings(image="example.org/platform@sha256:00")
KFP = InstallComponent(
    name="kfp",
    does="Runs pipelines",
    version="2.17.0",
    source="",
    namespace="kubeflow",
    definitions=["experiments.kubeflow.org"],
    version_of=VersionSource(healthz="ml-pipeline:8888"),
)
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
HOOKS = "/apis/admissionregistration.k8s.io/v1"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/kubeflow/endpointslices"
GATEWAY = "/apis/gateway.networking.k8s.io/v1/namespaces/gateway/gateways/platform"
QUOTAS = "/api/v1/namespaces/kubeflow/resourcequotas"
SPACE = "/api/v1/namespaces/kubeflow"
EXPERIMENTS = f"{DEFINITIONS}/experiments.kubeflow.org"


def sound(**changes: Any) -> ServedObjects:
    """A cluster in which nothing is wrong, but for ``changes``."""
    hook = {
        "metadata": {"name": "katib"},
        "webhooks": [{"clientConfig": {"service": {"namespace": "kubeflow", "name": "katib"}}}],
    }
    answers: dict[str, Any] = {
        HEALTHZ: {"tag_name": "2.17.0"},
        CLASSES: {"items": [{"metadata": {"name": "std", "annotations": {DEFAULT_CLASS: "true"}}}]},
        f"{HOOKS}/validatingwebhookconfigurations": {"items": [hook]},
        f"{HOOKS}/mutatingwebhookconfigurations": {"items": []},
        SLICES: {"items": [{"endpoints": [{"conditions": {"ready": True}}]}]},
        f"{SPACE}/services/katib": {"spec": {}},
        GATEWAY: gateway("True"),
        SPACE: {"metadata": {"labels": {INJECTION: "enabled"}}},
        f"{SPACE}/configmaps/platform-settings": {"data": dict.fromkeys(CONFIG_KEYS, "x")},
        f"{SPACE}/secrets/platform-secrets": {"data": dict.fromkeys(SECRET_KEYS, "x")},
        QUOTAS: {"items": []},
        "/api/v1/nodes": nodes("4", "8Gi"),
    }
    return ServedObjects(served().answers | answers | changes)


def gateway(programmed: str) -> dict[str, Any]:
    return {
        "spec": {"gatewayClassName": "envoy"},
        "status": {"conditions": [{"type": "Programmed", "status": programmed, "reason": "None"}]},
    }


def nodes(cpu: str, memory: str, *, ready: str = "True", **spec: Any) -> dict[str, Any]:
    status = {
        "allocatable": {"cpu": cpu, "memory": memory},
        "conditions": [{"type": "Ready", "status": ready}],
    }
    return {"items": [{"spec": spec, "status": status}]}


GPU_TAINT = {"key": "gpu", "value": "true", "effect": "NoSchedule"}


@pytest.mark.parametrize("tolerated", ["gpu:NoSchedule", "gpu=true:NoSchedule"])
def test_a_taint_that_the_settings_tolerate_keeps_nobody_away(tolerated: str) -> None:
    cluster = sound(**{"/api/v1/nodes": nodes("4", "8Gi", taints=[GPU_TAINT])})
    assert failures(cluster, training=TrainingSettings(tolerations=[tolerated])) == []


def test_a_fit_that_asks_for_more_than_a_node_has_is_named() -> None:
    for training in (
        TrainingSettings(worker_cpus=16),
        TrainingSettings(worker_memory_mib=100_000),
        TrainingSettings(worker_gpus=1),
    ):
        assert [c.name for c in failures(sound(), training=training)] == ["nodes"]


def quota(cpu: str) -> Mapping[str, Any]:
    status = {"hard": {"requests.cpu": cpu}, "used": {"requests.cpu": "900m"}}
    return {"items": [{"metadata": {"name": "team"}, "status": status}]}


def failures(
    cluster: ServedObjects,
    settings: KubernetesSettings = SETTINGS,
    training: TrainingSettings | None = None,
) -> list[Check]:
    checks = check_cluster(cluster, [KFP, KATIB], settings, training or TrainingSettings())
    return [c for c in checks if c.health != Health.OK]


def test_a_sound_cluster_has_no_finding() -> None:
    assert failures(sound()) == []


def without(path: str) -> ServedObjects:
    cluster = sound()
    del cluster.answers[path]
    return cluster


def refusing() -> ServedObjects:
    cluster = sound()
    cluster.refused = frozenset([("deployer", "patch", "httproutes")])
    return cluster


@pytest.mark.parametrize(
    ("cluster", "name", "words", "mend"),
    [
        (lambda: without(EXPERIMENTS), "katib", "experiments", "target install katib"),
        (
            lambda: sound(**served_with("k:v0.18.0")),
            "katib",
            "version v0.18.0",
            "target install katib",
        ),
        (lambda: sound(**{SLICES: {"items": []}}), "webhooks", "kubeflow/katib", "endpointslices"),
        (
            lambda: sound(**{CLASSES: {"items": [{"metadata": {"name": "std"}}]}}),
            "StorageClass",
            "none is the default",
            "kubectl annotate storageclass std",
        ),
        (refusing, "rights of deployer", "patch httproutes", "target install platform"),
        (
            lambda: sound(**{SPACE: {"metadata": {"labels": {}}}}),
            "namespace",
            "lacks the label",
            "kubectl label namespace kubeflow",
        ),
        (
            lambda: sound(**{GATEWAY: gateway("False")}),
            "Gateway",
            "not programmed",
            "describe gateway",
        ),
        (lambda: sound(**{QUOTAS: quota("1")}), "quota", "team leaves 100m", "edit resourcequota"),
        (
            lambda: sound(**{"/api/v1/nodes": nodes("250m", "1Gi")}),
            "nodes",
            "none of 1 nodes can take a worker of 1000m CPU, 2048 MiB",
            "PLATFORM_CTL_TRAINING__WORKER_CPUS",
        ),
        (
            lambda: sound(**{"/api/v1/nodes": nodes("4", "8Gi", ready="Unknown")}),
            "nodes",
            "none of 0 nodes can take a worker of 1000m CPU, 2048 MiB (1 more are not ready",
            "kubectl describe nodes",
        ),
        (
            lambda: sound(**{"/api/v1/nodes": nodes("4", "8Gi", taints=[GPU_TAINT])}),
            "nodes",
            "1 more are not ready, cordoned or tainted",
            "kubectl describe nodes",
        ),
        (
            lambda: sound(**{HEALTHZ: {"tag_name": "2.5.0"}}),
            "kfp",
            "version 2.5.0",
            "target install kfp",
        ),
        (
            lambda: without(f"{SPACE}/secrets/platform-secrets"),
            "settings of pods",
            "there is no Secret",
            "target install platform",
        ),
    ],
)
def test_each_fault_is_the_first_finding_and_has_a_mend(
    cluster: Callable[[], ServedObjects], name: str, words: str, mend: str
) -> None:
    found = {c.name: c for c in failures(cluster())}
    assert name in found, found
    assert words in found[name].detail
    assert mend in found[name].fix


def served_with(image: str) -> dict[str, Any]:
    from tests.unit.installation.test_check import deployment

    return {DEPLOYMENTS: {"items": [deployment(image)]}}


def test_a_client_of_another_minor_version_is_named() -> None:
    newer = msgspec.structs.replace(KFP, version="2.99.1")
    cluster = sound(**{HEALTHZ: {"tag_name": "2.99.1"}})
    checks = check_cluster(cluster, [newer], SETTINGS, TrainingSettings())
    found = [c for c in checks if c.health == Health.FAIL]
    assert [c.name for c in found] == ["kfp-server-api and kfp"]
    assert found[0].fix == "pip install 'kfp-server-api==2.99.*'"


def test_settings_without_an_image_are_named() -> None:
    [found] = failures(sound(), KubernetesSettings())
    assert found.name == "image"


@pytest.mark.parametrize(
    ("report", "name", "words"),
    [
        (ProbeReport(["ray.dashboard.optional_deps"], [], []), "image in a pod", "ray[default]"),
        (ProbeReport([], ["wget"], []), "image in a pod", "wget"),
        (
            ProbeReport([], [], ["s3.storage:9000 (object store)"]),
            "stores from a pod",
            "s3.storage:9000",
        ),
    ],
)
def test_what_a_pod_misses_is_named(report: ProbeReport, name: str, words: str) -> None:
    [found] = [c for c in checks_of(report, SETTINGS) if c.health == Health.FAIL]
    assert found.name == name
    assert words in found.detail
    assert found.fix


def test_a_pod_that_misses_nothing_is_fine() -> None:
    assert {c.health for c in checks_of(ProbeReport([], [], []), SETTINGS)} == {Health.OK}
