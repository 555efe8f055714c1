"""Webhooks without a server, and webhooks that refuse the pods of their own server."""

from __future__ import annotations

from typing import Any

import pytest

from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.installation.lint import check_documents
from platform_ctl.installation.webhooks import check_webhooks, stops_pods
from tests.support.served_objects import ServedObjects

HOOKS = "/apis/admissionregistration.k8s.io/v1"
SPACE = "/api/v1/namespaces/kubeflow"
SERVICE = f"{SPACE}/services/katib-controller"
DEPLOYMENTS = "/apis/apps/v1/namespaces/kubeflow/deployments"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/kubeflow/endpointslices"
LABELS = {"component": "controller"}
INJECTION = {"injection": "enabled"}
READY = {"items": [{"endpoints": [{"conditions": {"ready": True}}]}]}
PODS = {"apiGroups": [""], "operations": ["CREATE"], "resources": ["pods"]}


def webhook(**changes: Any) -> dict[str, Any]:
    """Katib's pod webhook as upstream has it, but for ``changes``."""
    service = {"namespace": "kubeflow", "name": "katib-controller"}
    return {
        "name": "mutator.pod",
        "clientConfig": {"service": service},
        "namespaceSelector": {"matchLabels": INJECTION},
        "rules": [PODS],
    } | changes


def deployment(replicas: int = 1) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "katib-controller", "namespace": "kubeflow"},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": LABELS}}},
    }


def served(hook: dict[str, Any], **changes: Any) -> ServedObjects:
    configuration = {"metadata": {"name": "katib"}, "webhooks": [hook]}
    answers = {
        f"{HOOKS}/mutatingwebhookconfigurations": {"items": [configuration]},
        f"{HOOKS}/validatingwebhookconfigurations": {"items": []},
        SERVICE: {"spec": {"selector": LABELS}},
        DEPLOYMENTS: {"items": [deployment()]},
        SLICES: {"items": []},
        SPACE: {"metadata": {"labels": INJECTION}},
    }
    return ServedObjects(answers | changes)


def only(cluster: ServedObjects) -> Check:
    [found] = check_webhooks(cluster)
    return found


def test_a_webhook_that_refuses_its_own_server_is_named_with_a_patch() -> None:
    found = only(served(webhook()))
    assert found.health == Health.FAIL
    assert "its own server kubeflow/katib-controller" in found.detail
    assert "no pod of kubeflow starts" in found.detail
    assert found.fix == (
        "kubectl patch mutatingwebhookconfiguration katib --type=json -p "
        '\'[{"op":"add","path":"/webhooks/0/objectSelector","value":{"matchExpressions":'
        '[{"key":"component","operator":"NotIn","values":["controller"]}]}}]\''
    )


def test_it_warns_before_the_server_has_gone() -> None:
    found = only(served(webhook(), **{SLICES: READY}))
    assert (found.health, "when none of them runs" in found.detail) == (Health.WARN, True)


def test_the_patch_keeps_what_the_selector_says_already() -> None:
    found = only(served(webhook(objectSelector={"matchLabels": LABELS})))
    assert '"matchLabels":{"component":"controller"}' in found.fix


SPARED = [
    webhook(
        objectSelector={"matchExpressions": [{"key": "component", "operator": "DoesNotExist"}]}
    ),
    webhook(matchConditions=[{"name": "jobs", "expression": "has(object.metadata.labels)"}]),
    webhook(rules=[PODS | {"resources": ["experiments"]}]),
    webhook(rules=[PODS | {"operations": ["UPDATE"]}]),
    webhook(namespaceSelector={"matchLabels": {"another": "label"}}),
]


@pytest.mark.parametrize("hook", SPARED)
@pytest.mark.parametrize(
    ("changes", "mend"),
    [
        ({}, "kubectl -n kubeflow describe deployment/katib-controller"),
        (
            {DEPLOYMENTS: {"items": [deployment(replicas=0)]}},
            "kubectl -n kubeflow scale deployment/katib-controller --replicas=1",
        ),
        ({DEPLOYMENTS: {"items": []}}, "get service/katib-controller endpointslices,pods"),
    ],
)
def test_a_server_without_a_pod_is_named(
    hook: dict[str, Any], changes: dict[str, Any], mend: str
) -> None:
    found = only(served(hook, **changes))
    assert found.health == Health.FAIL
    assert "kubeflow/katib-controller has no pod that is ready" in found.detail
    assert mend in found.fix


def test_a_webhook_whose_service_is_gone_is_taken_away() -> None:
    cluster = served(webhook())
    del cluster.answers[SERVICE]
    assert only(cluster).fix == "kubectl delete mutatingwebhookconfiguration katib"


def test_what_may_stay_silent_or_lives_outside_is_not_asked_for() -> None:
    url = webhook(clientConfig={"url": "https://example.org"})
    for hook in (webhook(failurePolicy="Ignore"), url):
        assert only(served(hook)).health == Health.OK


@pytest.mark.parametrize(
    ("expression", "selects"),
    [
        ({"key": "component", "operator": "In", "values": ["controller"]}, True),
        ({"key": "component", "operator": "NotIn", "values": ["ui"]}, True),
        ({"key": "component", "operator": "Exists"}, True),
        ({"key": "trial", "operator": "Exists"}, False),
        ({"key": "trial", "operator": "DoesNotExist"}, True),
        ({"key": "trial", "operator": "In", "values": ["a"]}, False),
    ],
)
def test_selectors_follow_the_api_server(expression: dict[str, Any], selects: bool) -> None:
    hook = webhook(objectSelector={"matchExpressions": [expression]})
    assert stops_pods(hook, None, LABELS) is selects


def test_the_lint_finds_a_webhook_that_refuses_what_is_installed_with_it() -> None:
    configuration = {
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "katib"},
        "webhooks": [webhook()],
    }
    workload = deployment(replicas=0)
    workload["spec"]["template"]["spec"] = {"containers": []}
    documents = [workload, configuration]
    assert [p.rule for p in check_documents(documents, ours=False)] == ["circular-webhook"]
    configuration["webhooks"] = [SPARED[0]]
    assert check_documents(documents, ours=False) == []
