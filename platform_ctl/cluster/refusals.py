"""Why the API server does not take an object, from what there is: never from its message's words.

It answers 403 for a missing right and for a quota, 500 for a webhook that does not answer and
for its own faults. What tells them apart can be asked: an access review, the ResourceQuotas of the
namespace, the webhooks for the resource and the endpoints behind them. A caller who may not look at
one of these gets no answer from it, and the message of the API server is what remains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from platform_ctl.errors import ClusterForbidden

Labels = Mapping[str, str]
FAILED_CREATE = "FailedCreate"
"""The Job controller's word for a pod that it may not make; of a cause that is not known."""
QUOTA = "QuotaExceeded"
WEBHOOK = "WebhookUnavailable"
_VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
_OPERATIONS = {"POST": "CREATE", "PATCH": "UPDATE", "PUT": "UPDATE", "DELETE": "DELETE"}
_CONFIGURATIONS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


class Cluster(Protocol):
    """What is asked of ``cluster.api.Cluster``, which itself asks here."""

    namespace: str

    def kind(self, group_version: str, kind: str) -> Any:
        """See ``cluster.api.Cluster``, also of the following."""
        ...

    def get(self, kind: Any, name: str, namespace: str | None = None) -> Any: ...

    def list(self, kind: Any, *, labels: str = "", namespace: str | None = None) -> Any: ...

    def may(
        self, verb: str, resource: str, group: str = "", namespace: str | None = None
    ) -> bool: ...


@dataclass(frozen=True)
class Target:
    """What a path of the API server is about; empty strings where it has no such part."""

    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def with_subresource(self) -> str:
        return f"{self.resource}/{self.subresource}".rstrip("/")


@dataclass(frozen=True)
class Refusal:
    """Why no pod can be made in a namespace. ``reason`` is one of the words above."""

    reason: str
    message: str
    fix: str


def target_of(path: str) -> Target | None:
    """``/apis/GROUP/VERSION/namespaces/NS/RESOURCE/NAME/SUB``; None for what is no resource."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, rest = "", parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, rest = parts[1], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource, *_ = [*rest, "", ""]
    return Target(group, resource, namespace, name, subresource)


def lacks_right(cluster: Cluster, method: str, path: str) -> bool:
    """Whether it is the account that may not; True too where even that cannot be asked."""
    target = target_of(path)
    if target is None or target.resource == "selfsubjectaccessreviews":
        return True
    verb = _VERBS.get(method, "get")
    if verb == "get" and not target.name:
        verb = "list"
    return not cluster.may(verb, target.with_subresource, target.group, target.namespace)


def silent_webhook(
    cluster: Cluster, method: str, target: Target | None, labels: Labels | None = None
) -> str:
    """``NAME (Service NS/NAME)`` of a webhook that has to be asked and has nobody who answers;
    empty where there is none, or where the caller may not look. ``labels``: of the object."""
    operation = _OPERATIONS.get(method, "")
    if target is None or not operation:
        return ""
    names = _if_allowed(lambda: list(_silent(cluster, operation, target, labels or {})))
    return names[0] if names else ""


def refused_pods(cluster: Cluster, message: str = "", labels: Labels | None = None) -> Refusal:
    """Why pods with ``labels`` cannot be made in the namespace of ``cluster``; ``message`` is what
    the API server has said."""
    namespace = cluster.namespace
    if webhook := silent_webhook(cluster, "POST", Target("", "pods", namespace), labels):
        text = f"no server answers for the webhook {webhook}, which has to pass the pod"
        fix = f"kubectl -n {webhook.partition('Service ')[2].partition('/')[0]} get endpointslices"
        return Refusal(WEBHOOK, f"{text}; {message}" if message else text, fix)
    for quota, used_up in _if_allowed(lambda: list(_used_up(cluster))) or ():
        text = f"ResourceQuota {quota} is used up: {used_up}"
        fix = f"kubectl -n {namespace} describe resourcequota {quota}"
        return Refusal(QUOTA, f"{text}; {message}" if message else text, fix)
    return Refusal(FAILED_CREATE, message, f"kubectl -n {namespace} get events")


def _if_allowed(read: Callable[[], list[Any]]) -> list[Any] | None:
    try:
        return read()
    except ClusterForbidden:
        return None


def _silent(cluster: Cluster, operation: str, target: Target, labels: Labels) -> Iterator[str]:
    for kind_name in _CONFIGURATIONS:
        kind = cluster.kind("admissionregistration.k8s.io/v1", kind_name)
        for configuration in cluster.list(kind, namespace="") if kind else ():
            for webhook in configuration.get("webhooks", []):
                service = webhook.get("clientConfig", {}).get("service")
                called = (
                    webhook.get("failurePolicy", "Fail") == "Fail"
                    and any(_matches(r, operation, target) for r in webhook.get("rules", []))
                    and _selects(webhook.get("objectSelector") or {}, labels)
                    and _of_namespace(cluster, webhook.get("namespaceSelector") or {}, target)
                    and not webhook.get(
                        "matchConditions"
                    )  # expressions that are not evaluated here
                )
                if service and called and not _answers(cluster, service):
                    where = f"{service['namespace']}/{service['name']}"
                    yield f"{webhook['name']} (Service {where})"


def _matches(rule: Mapping[str, Any], operation: str, target: Target) -> bool:
    resources = {target.with_subresource, "*/*"} | ({"*"} if not target.subresource else set())
    return (
        bool({target.group, "*"} & set(rule.get("apiGroups", [])))
        and bool({operation, "*"} & set(rule.get("operations", [])))
        and bool(resources & set(rule.get("resources", [])))
    )


def _of_namespace(cluster: Cluster, selector: Mapping[str, Any], target: Target) -> bool:
    if not selector or not target.namespace:
        return True
    kind = cluster.kind("v1", "Namespace")
    stored = cluster.get(kind, target.namespace, "") if kind else None
    return _selects(selector, (stored or {}).get("metadata", {}).get("labels", {}))


def _selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    """A LabelSelector of the Kubernetes API: all of its requirements."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for wanted in selector.get("matchExpressions", []):
        key, values = wanted["key"], wanted.get("values", [])
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds[wanted["operator"]]:
            return False
    return True


def _answers(cluster: Cluster, service: Mapping[str, Any]) -> bool:
    kind = cluster.kind("discovery.k8s.io/v1", "EndpointSlice")
    labels = f"kubernetes.io/service-name={service['name']}"
    slices = cluster.list(kind, labels=labels, namespace=service["namespace"]) if kind else []
    endpoints = (e for s in slices for e in s.get("endpoints") or ())
    return any(e.get("conditions", {}).get("ready", True) for e in endpoints)


def _used_up(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Quotas of which nothing is left, with the figures; those of a scope count for some pods."""
    from kubernetes.utils.quantity import parse_quantity

    kind = cluster.kind("v1", "ResourceQuota")
    for quota in cluster.list(kind) if kind else ():
        hard, used = (quota.get("status", {}).get(k, {}) for k in ("hard", "used"))
        for resource, limit in sorted(hard.items()):
            if resource in _OF_PODS and parse_quantity(used.get(resource, "0")) >= parse_quantity(
                limit
            ):
                yield quota["metadata"]["name"], f"{resource} {used[resource]} of {limit}"


_OF_PODS = frozenset(
    {"pods", "count/pods", "cpu", "memory"}
    | {f"{w}.{r}" for w in ("requests", "limits") for r in ("cpu", "memory", "ephemeral-storage")}
    | {"requests.nvidia.com/gpu"}
)
