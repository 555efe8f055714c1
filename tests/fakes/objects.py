"""An API server of plain dicts, in this process: what cluster.api.Cluster does with one."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from platform_ctl.cluster.api import Object, ResourceKind
from platform_ctl.errors import ClusterForbidden, ClusterRefused, ClusterUnavailable

KINDS = {
    ("v1", "Pod"): "pods",
    ("v1", "Node"): "nodes",
    ("v1", "Event"): "events",
    ("v1", "Namespace"): "namespaces",
    ("v1", "ResourceQuota"): "resourcequotas",
    ("discovery.k8s.io/v1", "EndpointSlice"): "endpointslices",
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"): (
        "mutatingwebhookconfigurations"
    ),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"): (
        "validatingwebhookconfigurations"
    ),
    ("argoproj.io/v1alpha1", "Workflow"): "workflows",
    ("ray.io/v1", "RayCluster"): "rayclusters",
    ("kubeflow.org/v1beta1", "Experiment"): "experiments",
    ("kubeflow.org/v1beta1", "Suggestion"): "suggestions",
    ("kubeflow.org/v1beta1", "Trial"): "trials",
    ("ray.io/v1", "RayJob"): "rayjobs",
}


class FakeObjects:
    """Objects by kind and name. ``controllers`` are called before every read.

    ``missing``: kinds whose CRD is not installed; ``forbidden``: kinds that the
    account may not make; ``down``: nothing answers; ``outages``: every so many calls one is not
    answered, 0 for none; ``logs``: (pod, container) -> what
    it has printed.
    """

    namespace = "test"
    server = "https://api.test"

    def __init__(
        self,
        *,
        missing: frozenset[str] = frozenset(),
        forbidden: frozenset[str] = frozenset(),
        down: bool = False,
        outages: int = 0,
        logs: Mapping[tuple[str, str], bytes] | None = None,
    ) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.controllers: list[Callable[[], None]] = []
        self.deleted: list[tuple[str, str]] = []
        self.logs = dict(logs or {})
        self._missing, self._forbidden, self._down = missing, forbidden, down
        self._uid, self._calls, self._outages = itertools.count(1), itertools.count(1), outages

    def kind(self, group_version: str, kind: str) -> ResourceKind | None:
        self._answer()
        if kind in self._missing or (group_version, kind) not in KINDS:
            return None
        return ResourceKind(group_version, kind, KINDS[group_version, kind])

    def kind_of(self, manifest: Mapping[str, Any]) -> ResourceKind:
        found = self.kind(manifest["apiVersion"], manifest["kind"])
        if found is None:
            raise ClusterRefused(
                f"the cluster has no {manifest['kind']}", where=self.server, fix="install it"
            )
        return found

    def get(self, kind: ResourceKind, name: str, namespace: str | None = None) -> Object | None:
        self._read()
        return copy.deepcopy(self.objects.get((kind.kind, name)))

    def list(
        self,
        kind: ResourceKind,
        *,
        labels: str = "",
        fields: str = "",
        namespace: str | None = None,
    ) -> list[Object]:
        """The items of a list carry no kind and no apiVersion, as the API server's do not."""
        self._read()
        wanted = dict(pair.split("=", 1) for pair in labels.split(",") if pair)
        found = [o for (k, _), o in self.objects.items() if k == kind.kind]
        return [
            {key: copy.deepcopy(value) for key, value in o.items() if key not in _TYPE}
            for o in found
            if wanted.items() <= o["metadata"].get("labels", {}).items() and _has(o, fields)
        ]

    def create(self, manifest: Mapping[str, Any]) -> Object | None:
        self._answer()
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if kind in self._forbidden:
            raise ClusterForbidden(f"cannot create {kind}", where=self.server, fix="ask")
        if (kind, name) in self.objects:
            return None
        return self.put(manifest)

    def put(self, manifest: Mapping[str, Any]) -> Object:
        """As a controller makes an object: with a uid and a time of creation."""
        made = copy.deepcopy(dict(manifest))
        metadata = made["metadata"] = {"labels": {}, "annotations": {}, **made["metadata"]}
        metadata.setdefault("uid", f"uid-{next(self._uid)}")
        metadata.setdefault("creationTimestamp", stamp())
        self.objects[made["kind"], metadata["name"]] = made
        return copy.deepcopy(made)

    def patch(
        self,
        kind: ResourceKind,
        name: str,
        change: Mapping[str, Any],
        *,
        subresource: str = "",
        namespace: str | None = None,
    ) -> Object:
        self._answer()
        _merge(self.objects[kind.kind, name], change)
        return copy.deepcopy(self.objects[kind.kind, name])

    def delete(
        self,
        kind: ResourceKind,
        name: str,
        *,
        propagation: str = "Background",
        namespace: str | None = None,
    ) -> bool:
        self._answer()
        self.deleted.append((kind.kind, name))
        return self.objects.pop((kind.kind, name), None) is not None

    def log(
        self,
        pod: str,
        *,
        container: str = "",
        previous: bool = False,
        tail_lines: int = 0,
        namespace: str | None = None,
    ) -> bytes | None:
        self._answer()
        return self.logs.get((pod, container))

    def _read(self) -> None:
        self._answer()
        for controller in self.controllers:
            controller()

    def _answer(self) -> None:
        if self._down or (self._outages and next(self._calls) % self._outages == 0):
            raise ClusterUnavailable("no answer", where=self.server, fix="look")


def _has(found: Object, fields: str) -> bool:
    """Whether every ``path=value`` of a field selector holds."""
    for path, _, value in (pair.partition("=") for pair in fields.split(",") if pair):
        node: Any = found
        for key in path.split("."):
            node = node.get(key, {})
        if node != value:
            return False
    return True


_TYPE = ("apiVersion", "kind")


def stamp() -> str:
    """Now, as Kubernetes writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, reason: str = "", message: str = "", status: str = "True") -> Object:
    times = {"lastUpdateTime": stamp(), "lastTransitionTime": stamp()}
    return {"type": kind, "status": status, "reason": reason, "message": message, **times}


def _merge(into: dict[str, Any], change: Mapping[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, Mapping):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value
