"""Admission webhooks: whether each has a server, and whether one stops its own server.

A webhook with failurePolicy Fail that is asked about every new pod of a namespace
is also asked about the pods of its own server, where that lives there. As soon as
none of them runs (a first installation, a node that restarts), the API server
refuses every pod of the namespace, and nothing starts again without a person.
Sources: admissionregistration.k8s.io/v1, and Katib 0.19.0 as it was seen to fail.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_ctl.cluster.api import DEPLOYMENT, SERVICE, Cluster, Object, ResourceKind
from platform_ctl.doctor.doctor import Check, Health

KINDS = tuple(
    ResourceKind("admissionregistration.k8s.io/v1", kind, f"{kind.lower()}s", False)
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
)
SLICE = ResourceKind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
NAMESPACE = ResourceKind("v1", "Namespace", "namespaces", False)


@dataclass(frozen=True)
class Hook:
    """One webhook that must answer; ``kind`` and ``name`` are those of its configuration."""

    kind: str
    name: str
    index: int
    content: Mapping[str, Any]

    @property
    def server(self) -> tuple[str, str]:
        """Namespace and name of the Service that answers."""
        service = self.content["clientConfig"]["service"]
        return service["namespace"], service["name"]


@dataclass(frozen=True)
class _Server:
    """What the cluster has of a Service that answers webhooks."""

    service: Object | None
    deployment: Object | None
    namespace_labels: Mapping[str, str]
    ready: bool

    @property
    def selector(self) -> dict[str, str]:
        return dict((self.service or {}).get("spec", {}).get("selector") or {})

    @property
    def pod_labels(self) -> Mapping[str, str]:
        return _template_labels(self.deployment) if self.deployment else self.selector


def hooks_of(configuration: Object, kind: str) -> Iterator[Hook]:
    """Webhooks of a configuration that a Service answers and whose silence means no."""
    for index, hook in enumerate(configuration.get("webhooks") or []):
        must_answer = hook.get("failurePolicy", "Fail") == "Fail"
        if must_answer and hook["clientConfig"].get("service"):
            yield Hook(kind, configuration["metadata"]["name"], index, hook)


def check_webhooks(cluster: Cluster) -> list[Check]:
    """Webhooks without a server, and those that would not let their own server start."""
    of_server: dict[tuple[str, str], list[Hook]] = defaultdict(list)
    for kind in KINDS:
        for configuration in cluster.list(kind, namespace=""):
            for hook in hooks_of(configuration, kind.kind):
                of_server[hook.server].append(hook)
    checks = [
        check
        for (namespace, name), hooks in of_server.items()
        if (check := _check(hooks, _server(cluster, namespace, name)))
    ]
    return checks or [Check("webhooks", Health.OK, "each has a server")]


def _check(hooks: Sequence[Hook], server: _Server) -> Check | None:
    namespace, name = hooks[0].server
    circular = next((h for h in hooks if server.service and _is_circular(h, server)), None)
    if circular:
        health = Health.WARN if server.ready else Health.FAIL
        when = "when none of them runs" if server.ready else "and none of them runs"
        detail = (
            f"{circular.name} is asked about the pods of its own server {namespace}/{name}, "
            f"{when}: then no pod of {namespace} starts"
        )
        return Check("webhooks", health, detail, _spare(circular, server.selector))
    if server.ready:
        return None
    detail = f"{hooks[0].name} is asked, and Service {namespace}/{name} has no pod that is ready"
    return Check("webhooks", Health.FAIL, detail, _start(hooks[0], server))


def _is_circular(hook: Hook, server: _Server) -> bool:
    return stops_pods(hook.content, server.namespace_labels, server.pod_labels)


def _spare(hook: Hook, selector: Mapping[str, str]) -> str:
    """The command after which the webhook is not asked about the pods of its own server."""
    namespace, name = hook.server
    if not selector:
        return f"kubectl -n {namespace} get service/{name} endpointslices"
    [(key, value), *_] = selector.items()
    wanted = dict(hook.content.get("objectSelector") or {})
    own = {"key": key, "operator": "NotIn", "values": [value]}
    wanted["matchExpressions"] = [*wanted.get("matchExpressions", []), own]
    change = [{"op": "add", "path": f"/webhooks/{hook.index}/objectSelector", "value": wanted}]
    words = f"kubectl patch {hook.kind.lower()} {hook.name} --type=json"
    return f"{words} -p '{json.dumps(change, separators=(',', ':'))}'"


def _start(hook: Hook, server: _Server) -> str:
    """The command that gives the webhook its server again, or takes away one left behind."""
    namespace, name = hook.server
    if server.service is None:
        return f"kubectl delete {hook.kind.lower()} {hook.name}"
    if server.deployment is None:
        return f"kubectl -n {namespace} get service/{name} endpointslices,pods"
    workload = f"deployment/{server.deployment['metadata']['name']}"
    if server.deployment["spec"].get("replicas", 1) == 0:
        return f"kubectl -n {namespace} scale {workload} --replicas=1"
    return f"kubectl -n {namespace} describe {workload}"


def _server(cluster: Cluster, namespace: str, name: str) -> _Server:
    service = cluster.get(SERVICE, name, namespace)
    selector = (service or {}).get("spec", {}).get("selector") or {}
    deployments = cluster.list(DEPLOYMENT, namespace=namespace) if selector else []
    behind = [d for d in deployments if selector.items() <= _template_labels(d).items()]
    slices = cluster.list(SLICE, labels=f"kubernetes.io/service-name={name}", namespace=namespace)
    endpoints = [e for s in slices for e in s.get("endpoints") or []]
    space = cluster.get(NAMESPACE, namespace, "") or {"metadata": {}}
    return _Server(
        service,
        behind[0] if behind else None,
        space["metadata"].get("labels") or {},
        any((e.get("conditions") or {}).get("ready", True) for e in endpoints),
    )


def _template_labels(deployment: Mapping[str, Any]) -> dict[str, str]:
    metadata = deployment["spec"]["template"].get("metadata") or {}
    return dict(metadata.get("labels") or {})


def stops_pods(
    hook: Mapping[str, Any], namespace_labels: Mapping[str, str] | None, labels: Mapping[str, str]
) -> bool:
    """Whether the webhook is asked about a new pod with these labels, and its silence means no.

    ``namespace_labels`` None: not known, so they count as selected. A condition on
    the object counts as one that leaves the pod out: its language is not read here.
    """
    if hook.get("failurePolicy", "Fail") != "Fail" or not _asks_about_pods(hook):
        return False
    if any("object." in c["expression"] for c in hook.get("matchConditions") or []):
        return False
    space = hook.get("namespaceSelector") or {}
    if namespace_labels is not None and not _selects(space, namespace_labels):
        return False
    return _selects(hook.get("objectSelector") or {}, labels)


def _asks_about_pods(hook: Mapping[str, Any]) -> bool:
    return any(
        {"", "*"} & set(rule.get("apiGroups", []))
        and {"CREATE", "*"} & set(rule.get("operations", []))
        and {"pods", "*", "*/*"} & set(rule.get("resources", []))
        for rule in hook.get("rules") or []
    )


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches, by the rules of meta/v1.LabelSelector."""
    if any(labels.get(k) != v for k, v in (selector.get("matchLabels") or {}).items()):
        return False
    for wanted in selector.get("matchExpressions") or []:
        value, values = labels.get(wanted["key"]), wanted.get("values") or []
        matches = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not matches[wanted["operator"]]:
            return False
    return True
