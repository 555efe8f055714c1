"""Each account and group tries what it may, and what it may not: the API server answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_ctl.cluster.api import Cluster
from platform_ctl.installation.rights import SOURCES, granted
from tests.support.cluster import needs_cluster, own_namespace

ROOT = Path(__file__).resolve().parents[2]
pytestmark = needs_cluster

FORBIDDEN = [
    # The runs of training cannot move traffic, decide, or read anybody's secrets.
    ("ServiceAccount pipeline-runner", "patch", "gateway.networking.k8s.io", "httproutes"),
    ("ServiceAccount pipeline-runner", "create", "serving.kserve.io", "inferenceservices"),
    ("ServiceAccount pipeline-runner", "patch", "platform.abukix.dev", "approvals"),
    ("ServiceAccount pipeline-runner", "create", "platform.abukix.dev", "releases"),
    ("ServiceAccount pipeline-runner", "get", "", "secrets"),
    # Who moves traffic does not decide that it moves.
    ("ServiceAccount deployer", "patch", "platform.abukix.dev", "approvals"),
    ("ServiceAccount deployer", "create", "platform.abukix.dev", "approvals"),
    ("ServiceAccount deployer", "create", "ray.io", "rayjobs"),
    ("ServiceAccount deployer", "get", "", "secrets"),
    ("ServiceAccount deployer", "create", "", "pods/exec"),
    ("ServiceAccount approval-controller", "patch", "platform.abukix.dev", "approvals"),
    ("ServiceAccount approval-controller", "patch", "gateway.networking.k8s.io", "httproutes"),
    ("ServiceAccount approval-controller", "get", "", "secrets"),
    # Trials, predictors, the reconciler and CI have nothing in this API.
    ("ServiceAccount trial", "get", "", "pods"),
    ("ServiceAccount predictor", "get", "", "configmaps"),
    ("ServiceAccount schedule-reconciler", "create", "batch", "jobs"),
    ("ServiceAccount platform-ci", "create", "", "pods"),
    ("ServiceAccount platform-ci", "get", "", "secrets"),
    # People.
    ("Group platform-viewers", "create", "kubeflow.org", "experiments"),
    ("Group platform-viewers", "patch", "platform.abukix.dev", "approvals"),
    ("Group platform-viewers", "get", "", "secrets"),
    ("Group platform-operators", "patch", "platform.abukix.dev", "approvals"),
    ("Group platform-operators", "patch", "gateway.networking.k8s.io", "httproutes"),
    ("Group platform-approvers", "create", "platform.abukix.dev", "approvals"),
    ("Group platform-approvers", "patch", "platform.abukix.dev", "approvals/status"),
    ("Group platform-approvers", "delete", "platform.abukix.dev", "approvals"),
    ("Group platform-approvers", "patch", "gateway.networking.k8s.io", "httproutes"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_namespace("rights") as found:
        for path in sorted((ROOT / SOURCES).rglob("*.yaml")):
            for document in yaml.safe_load_all(path.read_text()):
                if document and document.get("kind") in ("Role", "RoleBinding", "ServiceAccount"):
                    moved = json.dumps(document).replace('"kubeflow"', f'"{found.namespace}"')
                    found.apply(json.loads(moved))
        yield found


def may(cluster: Cluster, who: str, verb: str, group: str, resource: str) -> bool:
    """What the API server says of an account or of a member of a group."""
    kind, name = who.split(" ")
    if kind == "ServiceAccount":
        return cluster.may_account(name, verb, resource, group)
    plural, _, subresource = resource.partition("/")
    attributes = {
        "namespace": cluster.namespace,
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
    }
    spec: dict[str, Any] = {"user": "somebody", "groups": [name], "resourceAttributes": attributes}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": spec,
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    answer = cluster.call("POST", path, body=review)
    return bool(answer and answer["status"]["allowed"])


@pytest.mark.parametrize(("who", "verb", "group", "resource"), FORBIDDEN)
def test_what_nobody_gave_is_refused(
    cluster: Cluster, who: str, verb: str, group: str, resource: str
) -> None:
    assert not may(cluster, who, verb, group, resource)


def test_every_right_of_the_table_is_given(cluster: Cluster) -> None:
    missing = [
        (right.who, verb, right.resource)
        for right in granted(ROOT)
        if not right.names  # a review without a name asks about all of them
        for verb in right.verbs
        if not may(cluster, right.who, verb, right.group, right.resource)
    ]
    assert missing == []


def test_no_right_reaches_beyond_the_namespace(cluster: Cluster) -> None:
    assert not cluster.may_account("deployer", "get", "services", "", "default")
    elsewhere = {"verb": "list", "resource": "services", "namespace": "default", "group": ""}
    user = f"system:serviceaccount:{cluster.namespace}:deployer"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": elsewhere},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    answer = cluster.call("POST", path, body=review)
    assert answer and not answer["status"]["allowed"]
