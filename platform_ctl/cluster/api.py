"""Objects of a Kubernetes API server by kind and name.

One small client over HTTP; ``access`` says how the server is reached. Objects
are plain dicts, as the API server speaks them, so that a custom resource needs
no class. What the server refuses comes back as an error of ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import yaml

from platform_ctl.cluster import refusals
from platform_ctl.cluster.access import Client, LibraryClient, plain_client
from platform_ctl.errors import (
    ClusterConflict,
    ClusterForbidden,
    ClusterRefused,
    ClusterUnavailable,
    ConfigError,
    MissingExtra,
    WebhookUnavailable,
)

FIELD_MANAGER = "platform-ctl"
"""Owner of the fields that we apply (server-side apply)."""
TIMEOUT_S = 10.0
"""How long one call may take before the API server counts as unreachable."""
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

Object = dict[str, Any]


@dataclass(frozen=True)
class ResourceKind:
    """An API resource. ``group_version`` is ``v1`` or ``group/version``."""

    group_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "") -> str:
        root = "/api/v1" if self.group_version == "v1" else f"/apis/{self.group_version}"
        where = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        return f"{root}{where}/{self.plural}" + (f"/{quote(name)}" if name else "")


POD = ResourceKind("v1", "Pod", "pods")
SERVICE = ResourceKind("v1", "Service", "services")
CONFIG_MAP = ResourceKind("v1", "ConfigMap", "configmaps")
SECRET = ResourceKind("v1", "Secret", "secrets")
EVENT = ResourceKind("v1", "Event", "events")
DEPLOYMENT = ResourceKind("apps/v1", "Deployment", "deployments")
JOB = ResourceKind("batch/v1", "Job", "jobs")


@dataclass
class Cluster:
    """A connection; ``connect`` makes one."""

    client: Client
    namespace: str
    server: str = ""
    """Address of the API server, without credentials; for messages."""
    timeout_s: float = TIMEOUT_S
    _served: dict[str, dict[str, ResourceKind]] = field(default_factory=dict, repr=False)

    def kind(self, group_version: str, kind: str) -> ResourceKind | None:
        """The resource of a kind as this server has it; None where it has none of that name."""
        if group_version not in self._served:
            root = "/api/v1" if group_version == "v1" else f"/apis/{group_version}"
            listed = self.read(root)
            self._served[group_version] = {
                r["kind"]: ResourceKind(group_version, r["kind"], r["name"], r["namespaced"])
                for r in (listed or {}).get("resources", [])
                if "/" not in r["name"]
            }
        return self._served[group_version].get(kind)

    def forget_kinds(self) -> None:
        """Ask anew which kinds are served: after definitions were made or removed."""
        self._served.clear()

    def kind_of(self, manifest: Mapping[str, Any]) -> ResourceKind:
        """The resource of an object. Raises ClusterRefused where its CRD is not installed."""
        kind = self.kind(manifest["apiVersion"], manifest["kind"])
        if kind is None:
            raise ClusterRefused(
                f"the cluster has no {manifest['kind']} of {manifest['apiVersion']}",
                where=self.server,
                fix="platform-ctl --target kubernetes target check",
            )
        return kind

    def get(self, kind: ResourceKind, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None when there is none."""
        return self.read(kind.path(self.namespace if namespace is None else namespace, name))

    def list(
        self,
        kind: ResourceKind,
        *,
        labels: str = "",
        fields: str = "",
        namespace: str | None = None,
    ) -> list[Object]:
        """All objects that match the selectors, page by page. A missing CRD lists nothing."""
        path = kind.path(self.namespace if namespace is None else namespace)
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": "500"}
        items: list[Object] = []
        while True:
            page = self.read(path, {k: v for k, v in query.items() if v}) or {}
            items += page.get("items", [])
            following = page.get("metadata", {}).get("continue", "")
            if not following:
                return items
            query["continue"] = following

    def create(self, manifest: Mapping[str, Any]) -> Object | None:
        """Make an object; None when one of that name exists already."""
        kind = self.kind_of(manifest)
        try:
            return self.call("POST", kind.path(self._namespace(manifest)), body=manifest)
        except ClusterConflict:
            return None

    def apply(self, manifest: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Server-side apply: make the object, or make its fields be these. Idempotent."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        if dry_run:
            query["dryRun"] = "All"
        path = self.kind_of(manifest).path(self._namespace(manifest), manifest["metadata"]["name"])
        return self.call("PATCH", path, query, body=manifest, content_type=APPLY) or {}

    def patch(
        self,
        kind: ResourceKind,
        name: str,
        change: Mapping[str, Any],
        *,
        subresource: str = "",
        namespace: str | None = None,
    ) -> Object:
        """Merge ``change`` into an object, or into one of its subresources (``status``)."""
        path = kind.path(self.namespace if namespace is None else namespace, name)
        tail = f"/{subresource}" if subresource else ""
        return self.call("PATCH", path + tail, body=change, content_type=MERGE) or {}

    def delete(
        self,
        kind: ResourceKind,
        name: str,
        *,
        propagation: str = "Background",
        namespace: str | None = None,
    ) -> bool:
        """Delete an object; False when there was none. ``propagation``: Background or Orphan."""
        path = kind.path(self.namespace if namespace is None else namespace, name)
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        return self.call("DELETE", path, body=options, missing_ok=True) is not None

    def watch(
        self,
        kind: ResourceKind,
        *,
        labels: str = "",
        fields: str = "",
        namespace: str | None = None,
        seconds: int = 60,
    ) -> Iterator[tuple[str, Object]]:
        """(ADDED|MODIFIED|DELETED, object) for ``seconds``; begins with what is there now."""
        query = {"watch": "true", "timeoutSeconds": str(seconds)}
        query |= {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v}
        path = kind.path(self.namespace if namespace is None else namespace)
        for line in self.lines(path, query, timeout_s=seconds + self.timeout_s):
            event = json.loads(line)
            if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                yield event["type"], event["object"]

    def log(
        self,
        pod: str,
        *,
        container: str = "",
        previous: bool = False,
        tail_lines: int = 0,
        namespace: str | None = None,
    ) -> bytes | None:
        """What a container has written so far; None when the pod is gone or has not started."""
        query = {"container": container, "previous": "true" if previous else ""}
        query["tailLines"] = str(tail_lines) if tail_lines else ""
        path = f"{POD.path(self.namespace if namespace is None else namespace, pod)}/log"
        try:
            return self._bytes("GET", path, {k: v for k, v in query.items() if v})
        except (_NotFound, ClusterRefused):
            return None

    def may(self, verb: str, resource: str, group: str = "", namespace: str | None = None) -> bool:
        """Whether the account of this connection may do that (SelfSubjectAccessReview)."""
        attributes = {"verb": verb, "group": group}
        attributes["resource"], _, attributes["subresource"] = resource.partition("/")
        attributes["namespace"] = self.namespace if namespace is None else namespace
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool((self.call("POST", path, body=review) or {})["status"]["allowed"])

    def whoami(self) -> str:
        """The account of this connection, as the API server names it (SelfSubjectReview)."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        return str((self.call("POST", path, body=review) or {})["status"]["userInfo"]["username"])

    def may_account(
        self, account: str, verb: str, resource: str, group: str = "", namespace: str | None = None
    ) -> bool:
        """Whether a ServiceAccount of the namespace may do that (SubjectAccessReview)."""
        where = self.namespace if namespace is None else namespace
        attributes = {"verb": verb, "group": group, "namespace": where}
        attributes["resource"], _, attributes["subresource"] = resource.partition("/")
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{where}:{account}",
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{where}"],
                "resourceAttributes": attributes,
            },
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool((self.call("POST", path, body=review) or {})["status"]["allowed"])

    def version(self) -> str:
        """``gitVersion`` of the API server."""
        return str((self.read("/version") or {}).get("gitVersion", ""))

    # ---- one level below: paths ------------------------------------------

    def read(self, path: str, query: Mapping[str, str] | None = None) -> Object | None:
        """The JSON at a path of the API server; None when there is nothing."""
        return self.call("GET", path, query, missing_ok=True)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        missing_ok: bool = False,
    ) -> Object | None:
        """One call. Raises ClusterUnavailable, ClusterForbidden and ClusterRefused."""
        try:
            raw = self._bytes(method, path, query, body=body, content_type=content_type)
        except _NotFound as exc:
            if missing_ok:
                return None
            raise ClusterRefused(
                f"{path} does not exist",
                where=self.server,
                fix="platform-ctl --target kubernetes target check",
            ) from exc
        return json.loads(raw) if raw else {}

    def lines(self, path: str, query: Mapping[str, str], *, timeout_s: float) -> Iterator[bytes]:
        """The lines of a streamed answer (a watch, a followed log) as they come."""
        import urllib3

        response = self._open("GET", path, query, timeout_s=timeout_s)
        rest = b""
        try:
            for chunk in response.stream(65536, decode_content=False):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line for line in whole if line)
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise self._unavailable(exc) from exc
        finally:
            response.release_conn()
        if rest:
            yield rest

    def _bytes(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        response = self._open(method, path, query, body=body, content_type=content_type)
        try:
            return response.read()
        finally:
            response.release_conn()

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        timeout_s: float | None = None,
    ) -> Any:
        import urllib3

        headers = {"Accept": "application/json", "Content-Type": content_type}
        url = self.client.host + path
        try:
            self.client.authorize(headers)
            response = self.client.pool.request(
                method,
                url + (f"?{urlencode(query)}" if query else ""),
                body=json.dumps(body).encode() if body is not None else None,
                headers=headers,
                preload_content=False,
                timeout=urllib3.Timeout(connect=self.timeout_s, read=timeout_s or self.timeout_s),
                retries=_once_more_when_asked(),
            )
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise self._unavailable(exc) from exc
        if response.status >= 400:
            labels = (body or {}).get("metadata", {}).get("labels")
            self._refuse(response.status, response.read(), method, path, labels)
        return response

    def _refuse(
        self, status: int, raw: bytes, method: str, path: str, labels: Mapping[str, str] | None
    ) -> None:
        try:
            document = json.loads(raw)
        except ValueError:
            document = {"message": raw[:200].decode(errors="replace")}
        message = str(document.get("message", ""))
        if status == 404:
            raise _NotFound(message)
        if status == 409:
            raise ClusterConflict(
                message,
                where=self.server,
                fix="run the command again; it reads the object as it is now",
            )
        if status == 401:
            raise ClusterUnavailable(
                "the API server does not know who calls: the credentials are missing or expired",
                where=self.server,
                fix="kubectl auth whoami",
            )
        if status == 403 and refusals.lacks_right(self, method, path):
            raise ClusterForbidden(
                message, where=self.server, fix="platform-ctl --target kubernetes target check"
            )
        if status in (400, 403, 422):
            raise ClusterRefused(
                f"{method} {path}: {message}", where=self.server, fix="correct what it names"
            )
        if status == 500:
            self._refuse_for_webhook(method, path, message, labels)
            raise ClusterUnavailable(
                f"the Kubernetes API server answers and fails: {method} {path}: {message}",
                where=self.server,
                fix="platform-ctl --target kubernetes target check",
            )
        raise self._unavailable(f"HTTP {status} {message}")

    def _refuse_for_webhook(
        self, method: str, path: str, message: str, labels: Mapping[str, str] | None
    ) -> None:
        target = refusals.target_of(path)
        if webhook := refusals.silent_webhook(self, method, target, labels):
            raise WebhookUnavailable(
                f"no server answers for the webhook {webhook}, which has to pass {path}: {message}",
                where=self.server,
                fix="platform-ctl --target kubernetes target check",
            )

    def _unavailable(self, why: object) -> ClusterUnavailable:
        return ClusterUnavailable(
            f"the Kubernetes API server does not answer: {why}",
            where=self.server,
            fix="platform-ctl --target kubernetes target check",
        )

    def _namespace(self, manifest: Mapping[str, Any]) -> str:
        return manifest["metadata"].get("namespace") or self.namespace


def _once_more_when_asked() -> Any:
    """Retries of what the server put off: 429 or 503 with ``Retry-After``, as client-go does.

    A new resource kind is answered so for a second ("storage is (re)initializing"), and so is a
    caller over its share of API priority and fairness. Nothing else is sent twice.
    """
    import urllib3

    return urllib3.Retry(
        total=5,
        connect=False,
        read=False,
        other=False,
        redirect=False,
        allowed_methods=None,
        raise_on_status=False,
    )


class _NotFound(Exception):
    """HTTP 404."""


Conflict = ClusterConflict
"""Raised by ``patch`` and ``apply`` where somebody else changed the object meanwhile."""


def connect(
    *, kubeconfig: str = "", context: str = "", namespace: str, timeout_s: float = TIMEOUT_S
) -> Cluster:
    """A connection from a kubeconfig, or from a pod's own account inside a cluster.

    No call is made. Raises ConfigError for a kubeconfig that is missing or
    wrong, MissingExtra without the ``kubernetes`` package.
    """
    if plain := plain_client(kubeconfig, context, os.environ):
        return Cluster(plain, namespace, plain.host, timeout_s)
    try:
        from kubernetes import client, config
    except ModuleNotFoundError as exc:
        raise MissingExtra(
            "the kubernetes package is not installed",
            where="--target kubernetes",
            fix="pip install 'platform-ctl[kubernetes]'",
        ) from exc
    configuration = client.Configuration()
    try:
        try:
            config.load_kube_config(
                config_file=kubeconfig or None,
                context=context or None,
                client_configuration=configuration,
            )
        except config.ConfigException:
            if kubeconfig or context:
                raise
            config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError, yaml.YAMLError) as exc:
        raise ConfigError(
            f"no cluster to talk to: {exc}",
            where=kubeconfig or "KUBECONFIG",
            fix="export PLATFORM_CTL_KUBERNETES__KUBECONFIG=PATH",
        ) from exc
    library = LibraryClient(client.ApiClient(configuration))
    return Cluster(library, namespace, library.host, timeout_s)
