"""What an installation says of a workload that does not become available."""

from __future__ import annotations

from typing import Any

import pytest

from platform_ctl.cluster.api import FIELD_MANAGER, ResourceKind
from platform_ctl.errors import ComponentNotReady
from platform_ctl.installation.components import InstallComponent
from platform_ctl.installation.install import KEEPS_DATA, Installer
from tests.support.served_objects import ServedObjects

SETTINGS = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {
        "name": "platform-settings",
        "namespace": "kubeflow",
        "annotations": {KEEPS_DATA: "true"},
    },
    "data": {"MLFLOW": "http://mlflow.mlflow:5000", "REGION": "us-east-1"},
}
COMPONENT = InstallComponent("storage", "", "1", "", "storage", workloads=["s3"])
DEPLOYMENT_OF_S3 = "/apis/apps/v1/namespaces/storage/deployments/s3"
PODS = "/api/v1/namespaces/storage/pods"
EVENTS = "/api/v1/namespaces/storage/events"
CRASHES = {"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}}
CREATING = {"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}


def deployment(*conditions: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "s3",
            "namespace": "storage",
            "generation": 1,
            "managedFields": [{"manager": FIELD_MANAGER}],
        },
        "spec": {"selector": {"matchLabels": {"app": "s3"}}},
        "status": {"conditions": list(conditions)},
    }


def pod(container: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "s3-1"}, "status": {"containerStatuses": [container]}}


def event(reason: str, at: str) -> dict[str, Any]:
    return {"reason": reason, "message": "said", "lastTimestamp": at}


REFUSED = {"type": "ReplicaFailure", "status": "True", "message": "no endpoints available"}
HOOK = {"items": [event("FailedPostStartHook", "2026-01-02"), event("Unhealthy", "2026-01-01")]}


@pytest.mark.parametrize(
    ("found", "container", "events", "words"),
    [
        (deployment(REFUSED), CREATING, {"items": []}, ": no endpoints available"),
        (deployment(), CRASHES, HOOK, ": CrashLoopBackOff in pod s3-1 back-off"),
        (deployment(), CREATING, HOOK, ": FailedPostStartHook of pod s3-1 said"),
        (deployment(), CREATING, {"items": []}, "not available after 0 s"),
    ],
)
def test_a_workload_that_does_not_start_is_named_with_its_reason(
    found: dict[str, Any], container: dict[str, Any], events: dict[str, Any], words: str
) -> None:
    answers = {
        DEPLOYMENT_OF_S3: found,
        PODS: {"items": [pod(container)]},
        EVENTS: events,
    }
    ticks = iter(range(100))
    installer = Installer(
        ServedObjects(answers),
        lambda component: [],
        ready_timeout_s=0,
        sleep=lambda seconds: None,
        clock=lambda: float(next(ticks)),
    )
    with pytest.raises(ComponentNotReady) as refused:
        installer.install([COMPONENT])
    assert refused.value.what.endswith(words)
    assert refused.value.fix == "kubectl -n storage describe deployment/s3"


def test_the_progress_says_at_once_why_a_pod_does_not_run_and_means_the_newest() -> None:
    old, new = pod(CREATING), pod(CRASHES)
    old["metadata"] = {"name": "s3-0", "creationTimestamp": "2026-01-01T00:00:00Z"}
    new["metadata"] = {"name": "s3-1", "creationTimestamp": "2026-01-02T00:00:00Z"}
    old["status"]["containerStatuses"][0] = {
        "name": "c",
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "of the revision before"}},
    }
    answers = {
        DEPLOYMENT_OF_S3: deployment(),
        PODS: {"items": [old, new]},
        EVENTS: {"items": []},
    }
    ticks, lines = iter(range(100)), list[str]()
    installer = Installer(
        ServedObjects(answers),
        lambda component: [],
        lines.append,
        ready_timeout_s=3,
        sleep=lambda seconds: None,
        clock=lambda: float(next(ticks)),
    )
    with pytest.raises(ComponentNotReady):
        installer.install([COMPONENT])
    assert lines == [
        "storage: applying 0 objects",
        "storage: waiting for s3: CrashLoopBackOff in pod s3-1 back-off",
    ]


class AppliedObjects(ServedObjects):
    """Keeps what is applied; kinds are those of the documents."""

    def kind(self, group_version: str, kind: str) -> ResourceKind:
        return ResourceKind(group_version, kind, f"{kind.lower()}s")

    def apply(self, manifest: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        self.applied = manifest
        return manifest


def test_addresses_that_somebody_changed_survive_an_upgrade() -> None:
    path = "/api/v1/namespaces/kubeflow/configmaps/platform-settings"
    before = {**SETTINGS, "data": {"MLFLOW": "http://ours:5000", "EXTRA": "x"}}
    cluster = AppliedObjects({path: before})
    component = InstallComponent("platform", "", "1", "", "kubeflow")
    Installer(cluster, lambda c: [SETTINGS]).install([component])
    assert cluster.applied["data"] == {
        "MLFLOW": "http://ours:5000",
        "EXTRA": "x",
        "REGION": "us-east-1",
    }
