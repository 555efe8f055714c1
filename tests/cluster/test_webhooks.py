"""Webhooks of a real API server that stop their own server: seen, named, mended."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_ctl.cluster.api import POD, Cluster, Object, ResourceKind
from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.errors import ClusterUnavailable
from platform_ctl.installation.webhooks import KINDS, check_webhooks
from tests.support.cluster import KUBECONFIG, needs_cluster, own_namespace
from tests.support.waiting import eventually

KATIB = Path(__file__).resolve().parents[2] / "infra" / "tier6" / "katib" / "pod-webhook.yaml"
MUTATING: ResourceKind = KINDS[1]
LABELS = {"katib.kubeflow.org/component": "controller"}
IMAGE = "registry.invalid/nothing:1"
"""Whether a pod is made is asked, not whether it runs."""
pytestmark = needs_cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with own_namespace("webhook") as found:
        yield found


@contextmanager
def webhook(cluster: Cluster, **content: Any) -> Iterator[str]:
    """A webhook for new pods of the namespace alone, behind a Service that has no pod."""
    name = cluster.namespace
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hooks"},
            "spec": {"selector": LABELS, "ports": [{"port": 443, "targetPort": 8443}]},
        }
    )
    service = {"namespace": cluster.namespace, "name": "hooks", "path": "/mutate-pod"}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    hook = {
        "name": "pods.example.org",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"service": service},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
        "rules": [rule | {"resources": ["pods"]}],
    }
    cluster.apply(
        {
            "apiVersion": MUTATING.group_version,
            "kind": MUTATING.kind,
            "metadata": {"name": name},
            "webhooks": [hook | content],
        }
    )
    try:
        yield name
    finally:
        cluster.delete(MUTATING, name, namespace="")


def deployment() -> Object:
    container = {"name": "server", "image": IMAGE}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "server"},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}},
        },
    }


def own_check(cluster: Cluster) -> Check | None:
    """What the check says of the webhook of this test; others may use the cluster."""
    return next((c for c in check_webhooks(cluster) if cluster.namespace in c.detail), None)


def pods(cluster: Cluster) -> list[Object]:
    return cluster.list(POD)


def refused(cluster: Cluster) -> bool:
    events = cluster.list(ResourceKind("v1", "Event", "events"), fields="reason=FailedCreate")
    return any("pods.example.org" in e["message"] for e in events)


def test_a_webhook_that_stops_its_own_server_is_named_and_its_mend_works(cluster: Cluster) -> None:
    with webhook(cluster):
        eventually(lambda: _asked(cluster), seconds=30)
        cluster.apply(deployment())
        eventually(lambda: refused(cluster), seconds=60)
        assert pods(cluster) == []
        found = own_check(cluster)
        assert found and found.health == Health.FAIL
        assert f"no pod of {cluster.namespace} starts" in found.detail
        run(found.fix)
        eventually(lambda: pods(cluster) != [], seconds=120)
        found = own_check(cluster)
        assert found and "has no pod that is ready" in found.detail
        assert found.fix.endswith("describe deployment/server")


def test_a_webhook_that_was_left_behind_is_taken_away(cluster: Cluster) -> None:
    with webhook(cluster):
        cluster.delete(ResourceKind("v1", "Service", "services"), "hooks")
        found = own_check(cluster)
        assert found and found.health == Health.FAIL
        run(found.fix)
        assert own_check(cluster) is None


def test_katib_is_asked_about_pods_of_trials_and_about_no_other(cluster: Cluster) -> None:
    patch = yaml.safe_load(KATIB.read_text(encoding="utf-8"))
    [hook] = patch["webhooks"]
    with webhook(cluster, matchConditions=hook["matchConditions"]):
        eventually(
            lambda: not _made(cluster, {"batch.kubernetes.io/job-name": "trial"}), seconds=30
        )
        assert not _made(cluster, {"ray.io/cluster": "trial"})
        assert _made(cluster, LABELS)
        assert _made(cluster, {"app": "ml-pipeline"})
        assert _made(cluster, {"workflows.argoproj.io/workflow": "run"})
        assert _made(cluster, {})
        found = own_check(cluster)
        assert found and "has no pod that is ready" in found.detail


def _asked(cluster: Cluster) -> bool:
    """Whether the API server knows the webhook already: it reads them some time later."""
    return not _made(cluster, LABELS)


def _made(cluster: Cluster, labels: dict[str, str]) -> bool:
    """Whether the API server would make a pod with these labels."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "asked", "labels": labels},
        "spec": {"containers": [{"name": "asked", "image": IMAGE}]},
    }
    try:
        cluster.apply(pod, dry_run=True)
    except ClusterUnavailable:
        return False
    return True


def run(command: str) -> None:
    words = shlex.split(command)
    kubeconfig = ["--kubeconfig", os.environ[KUBECONFIG]]
    subprocess.run([*words, *kubeconfig], check=True, capture_output=True, timeout=60)
