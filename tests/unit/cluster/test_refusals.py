"""Why no pod can be made, from what there is on the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from platform_ctl.cluster.refusals import (
    FAILED_CREATE,
    QUOTA,
    WEBHOOK,
    Target,
    refused_pods,
    target_of,
)
from tests.fakes.objects import FakeObjects

ADMISSION = "admissionregistration.k8s.io/v1"
RULE = {"apiGroups": [""], "operations": ["CREATE"], "resources": ["pods"]}
SERVICE = {"service": {"name": "hook", "namespace": "tools"}}


def webhook(**fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": ADMISSION,
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "c"},
        "webhooks": [{"name": "hook.test", "clientConfig": SERVICE, "rules": [RULE], **fields}],
    }


def endpoints(*ready: bool) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "endpoints": [{"conditions": {"ready": r}} for r in ready] or None,
    }


def quota(**used: str) -> dict[str, Any]:
    status = {"hard": {"pods": "2", "requests.cpu": "1500m"}, "used": used}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "status": status,
    }


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1/namespaces/n/pods/p/log", Target("", "pods", "n", "p", "log")),
        ("/apis/ray.io/v1/namespaces/n/rayjobs", Target("ray.io", "rayjobs", "n")),
        ("/api/v1/nodes", Target("", "nodes")),
        ("/api/v1/namespaces/n", Target("", "namespaces", "", "n")),
        ("/version", None),
    ],
)
def test_a_path_names_what_it_is_about(path: str, target: Target | None) -> None:
    assert target_of(path) == target


@pytest.mark.parametrize("ready", [(), (False,)])
def test_a_webhook_without_a_ready_endpoint_is_named(ready: tuple[bool, ...]) -> None:
    objects = FakeObjects()
    objects.put(webhook())
    objects.put(endpoints(*ready))
    found = refused_pods(objects, "HTTP 500")
    assert found.reason == WEBHOOK and "hook.test (Service tools/hook)" in found.message
    assert found.fix == "kubectl -n tools get endpointslices"


@pytest.mark.parametrize(
    "fields",
    [
        {"failurePolicy": "Ignore"},
        {"rules": [{**RULE, "resources": ["jobs"]}]},
        {"objectSelector": {"matchLabels": {"app": "other"}}},
        {"objectSelector": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}},
        {"namespaceSelector": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}},
        {"clientConfig": {"url": "https://elsewhere"}},
    ],
)
def test_a_webhook_that_is_not_asked_refuses_nothing(fields: dict[str, Any]) -> None:
    objects = FakeObjects()
    objects.put(webhook(**fields))
    assert refused_pods(objects, labels={"app": "mine"}).reason == FAILED_CREATE


def test_a_webhook_that_answers_refuses_nothing() -> None:
    objects = FakeObjects()
    objects.put(webhook())
    objects.put(endpoints(False, True))
    assert refused_pods(objects).reason == FAILED_CREATE


@pytest.mark.parametrize(
    ("used", "reason"),
    [
        ({"pods": "2", "requests.cpu": "100m"}, QUOTA),
        ({"pods": "1", "requests.cpu": "1.5"}, QUOTA),
        ({"pods": "1", "requests.cpu": "1400m"}, FAILED_CREATE),
    ],
)
def test_a_quota_of_which_nothing_is_left_is_named(used: dict[str, str], reason: str) -> None:
    objects = FakeObjects()
    objects.put(quota(**used))
    assert refused_pods(objects, "said so").reason == reason
