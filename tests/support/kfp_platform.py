"""The platform beside a real KFP, for one test: rights, settings, and a person at a command line.

Runs of KFP live in one namespace, so what is made there has the test's mark in its name; roles,
accounts and custom resources are those of ``infra/tier6/platform``, and stay.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from platform_ctl.cluster.api import CONFIG_MAP, POD, SECRET, Cluster, Object, ResourceKind
from tests.support import cluster_state
from tests.support.cluster import image

FOLDER = Path(__file__).parents[2] / "infra" / "tier6" / "platform"
FILES = (
    "accounts.yaml",
    "roles.yaml",
    "bindings.yaml",
    "approvers.yaml",
    "crds/approvals.yaml",
    "crds/releases.yaml",
    "policies/approvals.yaml",
)
NAMESPACED = ("ServiceAccount", "Role", "RoleBinding")
RBAC = "rbac.authorization.k8s.io"
ACCOUNT = ResourceKind("v1", "ServiceAccount", "serviceaccounts")
BINDING = ResourceKind(f"{RBAC}/v1", "RoleBinding", "rolebindings")
GATEWAY = ResourceKind("gateway.networking.k8s.io/v1", "Gateway", "gateways")
NODE = ResourceKind("v1", "Node", "nodes", namespaced=False)
ROLES_OF_A_PERSON = ("platform-viewer", "platform-approvals-viewer", "platform-approver")
SMALL_NODE = {
    "PLATFORM_CTL_TRAINING__HEAD_CPUS": "0.2",
    "PLATFORM_CTL_TRAINING__WORKER_CPUS": "0.2",
    "PLATFORM_CTL_TRAINING__WORKER_MEMORY_MIB": "1536",
    "PLATFORM_CTL_SERVING__READY_TIMEOUT_S": "300",
}
"""What fits on a node with two cores beside KFP."""
COMMAND_S = 2400.0


@dataclass(frozen=True)
class Answer:
    code: int
    text: str

    @property
    def document(self) -> Any:
        """What ``-o json`` printed; lines of a log before it are no part of it."""
        start = min(i for i in (self.text.find("["), self.text.find("{")) if i >= 0)
        return json.JSONDecoder().raw_decode(self.text[start:])[0]


@dataclass(frozen=True)
class Person:
    """Types commands in pods of the cluster: there the stores have their names."""

    cluster: Cluster
    mark: str
    _count: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def __call__(self, *words: str) -> Answer:
        name = f"{self.mark}-{next(self._count)}"
        self.cluster.create(self._pod(name, ["platform-ctl", *words]))
        status = self._ended(name)
        text = (self.cluster.log(name) or b"").decode(errors="replace")
        self.cluster.delete(POD, name)
        (container,) = status["containerStatuses"]
        return Answer(int(container["state"]["terminated"]["exitCode"]), text)

    def _ended(self, name: str) -> Mapping[str, Any]:
        end = time.monotonic() + COMMAND_S
        while time.monotonic() < end:
            status: dict[str, Any] = (self.cluster.get(POD, name) or {}).get("status", {})
            if status.get("phase") in ("Succeeded", "Failed"):
                return status
            time.sleep(1.0)
        raise AssertionError(f"{name} did not end: {self.cluster.log(name)!r}")

    def _pod(self, name: str, command: list[str]) -> Object:
        container = {
            "name": "main",
            "image": image(),
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "envFrom": [
                {"configMapRef": {"name": self.mark}},
                {"secretRef": {"name": self.mark}},
            ],
            "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}},
        }
        spec = {
            "restartPolicy": "Never",
            "serviceAccountName": self.mark,
            "enableServiceLinks": False,
            "containers": [container],
        }
        return _made("v1", "Pod", name, self.cluster.namespace, spec=spec)


@contextmanager
def person(cluster: Cluster, mark: str, state_namespace: str) -> Iterator[Person]:
    """Somebody who may see and approve, with settings that lead to the state of the test."""
    for file in FILES:
        for document in yaml.safe_load_all((FOLDER / file).read_text(encoding="utf-8")):
            cluster.apply(_placed(document, cluster.namespace))
    settings = {
        **cluster_state.settings(state_namespace),
        **SMALL_NODE,
        "PLATFORM_CTL_TARGET": "kubernetes",
        "PLATFORM_HOME": "/tmp/platform-home",
        "PLATFORM_CTL_KUBERNETES__IMAGE": image(),
        "PLATFORM_CTL_KUBERNETES__NAMESPACE": cluster.namespace,
        "PLATFORM_CTL_KUBERNETES__CONFIG_MAP": mark,
        "PLATFORM_CTL_KUBERNETES__SECRET": mark,
        "PLATFORM_CTL_KUBERNETES__GATEWAY_URL": gateway_url(cluster),
    }
    namespace = cluster.namespace
    cluster.apply(_made("v1", "ConfigMap", mark, namespace, data=settings))
    cluster.apply(_made("v1", "Secret", mark, namespace, stringData=cluster_state.SECRETS))
    cluster.apply(_made("v1", "ServiceAccount", mark, namespace))
    subjects = [{"kind": "ServiceAccount", "name": mark, "namespace": namespace}]
    bindings = {f"{mark}-{role}": role for role in ROLES_OF_A_PERSON}
    for name, role in bindings.items():
        reference = {"apiGroup": RBAC, "kind": "Role", "name": role}
        kept = {"roleRef": reference, "subjects": subjects}
        cluster.apply(_made(BINDING.group_version, BINDING.kind, name, namespace, **kept))
    try:
        yield Person(cluster, mark)
    finally:
        for name in bindings:
            cluster.delete(BINDING, name)
        for kind in (ACCOUNT, SECRET, CONFIG_MAP):
            cluster.delete(kind, mark)


def gateway_url(cluster: Cluster, name: str = "platform", namespace: str = "gateway") -> str:
    """Where pods reach the Gateway: at its address, else at the node's."""
    found = cluster.get(GATEWAY, name, namespace) or {}
    addresses = found.get("status", {}).get("addresses") or []
    if not addresses:
        addresses = [
            {"value": a["address"]}
            for a in cluster.list(NODE, namespace="")[0]["status"]["addresses"]
            if a["type"] == "InternalIP"
        ]
    return f"http://{addresses[0]['value']}:{found['spec']['listeners'][0]['port']}"


def _placed(document: Object, namespace: str) -> Object:
    """As kustomize places it."""
    if document["kind"] in NAMESPACED:
        document["metadata"]["namespace"] = namespace
    for subject in document.get("subjects", ()):
        if subject["kind"] == "ServiceAccount":
            subject["namespace"] = namespace
    return document


def _made(version: str, kind: str, name: str, namespace: str, **rest: Any) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}
