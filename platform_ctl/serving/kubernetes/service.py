"""The serving port on a cluster: predictors, one HTTPRoute a service, and what the pods saw."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

import msgspec

from platform_ctl import errors
from platform_ctl.cluster.api import DEPLOYMENT, POD, SERVICE, Cluster, Object, ResourceKind
from platform_ctl.cluster.pods import blocked
from platform_ctl.serving.kubernetes import manifests
from platform_ctl.serving.kubernetes.manifests import PredictorSettings
from platform_ctl.serving.reported import as_raised
from platform_ctl.serving.service import (
    InferenceService,
    RequestObservation,
    Revision,
    RevisionStatus,
    ServiceSpec,
    ServiceState,
    check_spec,
)

ROUTE = ResourceKind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
GATEWAY = ResourceKind("gateway.networking.k8s.io/v1", "Gateway", "gateways")
INFERENCE_SERVICE = ResourceKind(
    "serving.kserve.io/v1beta1", "InferenceService", "inferenceservices"
)
ENDPOINT_SLICE = ResourceKind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
_POLL_S = 0.5
_ROUTE_S = 30.0
"""How long a Gateway may take to accept a route."""
_SETTLE_S = 2.0
"""Between the acceptance of a route and the last request on the old one."""


class KubernetesServing:
    """Implements serving.port.Serving. The HTTPRoute is the record of what is served."""

    def __init__(
        self, cluster: Cluster, how: PredictorSettings, *, url: str, ready_timeout_s: float = 180.0
    ) -> None:
        self._cluster = cluster
        self._how = how
        self._url = url
        self._ready_timeout_s = ready_timeout_s

    @property
    def uses_kserve(self) -> bool:
        """Whether revisions are InferenceServices; else they are Deployments."""
        return self._how.kserve

    # ---- the port ---------------------------------------------------------

    def list(self) -> Sequence[InferenceService]:
        labels = f"app.kubernetes.io/managed-by=platform-ctl,{manifests.SERVICE_LABEL}"
        routes = self._cluster.list(ROUTE, labels=labels)
        return [self._status(r) for r in sorted(routes, key=_name)]

    def get(self, name: str) -> InferenceService:
        return self._status(self._route(name))

    def apply(self, name: str, spec: ServiceSpec) -> InferenceService:
        check_spec(name, spec)
        if not self._how.image:
            raise errors.ConfigError(
                "predictors run the platform's image, and the settings name none",
                where="kubernetes.image",
                fix="export PLATFORM_CTL_KUBERNETES__IMAGE=REGISTRY/NAME@sha256:…",
            )
        before = {_name(w) for w in self._workloads(name)}
        for revision in spec.revisions():
            for manifest in manifests.workload(name, revision, spec, self._how):
                self._cluster.apply(manifest)
        try:
            for revision in spec.revisions():
                self._wait_ready(name, revision)
        except errors.PlatformError:
            wanted = {manifests.workload_name(name, r) for r in spec.revisions()}
            self._delete_workloads(name, wanted - before)
            raise
        self._set_route(name, spec)
        wanted = {manifests.workload_name(name, r) for r in spec.revisions()}
        self._delete_workloads(name, {_name(w) for w in self._workloads(name)} - wanted)
        return self.get(name)

    def start(self, name: str, *, anew: bool = False) -> InferenceService:
        service = self.get(name)
        if service.state is ServiceState.STOPPED:
            return self.apply(name, service.spec)
        if anew:
            for revision in service.spec.revisions():
                self._replace_pods(name, revision)
        return self.get(name)

    def stop(self, name: str) -> InferenceService:
        spec = self.get(name).spec
        self._set_route(name, spec, stopped=True)
        self._delete_workloads(name, {_name(w) for w in self._workloads(name)})
        return self.get(name)

    def observations(self, name: str, *, since: float) -> Sequence[RequestObservation]:
        self._route(name)
        observed: list[RequestObservation] = []
        decoder = msgspec.json.Decoder(RequestObservation)
        for pod in self._pods(name):
            if is_ready(pod) or pod["metadata"].get("deletionTimestamp"):
                observed += map(decoder.decode, self._observed(_name(pod), since))
        return sorted(observed, key=lambda o: o.at)

    def log(self, name: str, *, lines: int, revision: str | None = None) -> Sequence[str]:
        self._route(name)
        logged: list[str] = []
        for pod in self._pods(name):
            who = pod["metadata"]["labels"][manifests.REVISION_LABEL]
            if revision is not None and who != manifests.workload_name(
                name, Revision(revision, "")
            ):
                continue
            text = self._cluster.log(
                _name(pod), container=manifests.CONTAINER, tail_lines=max(lines, 1)
            )
            text_lines = (text or b"").decode(errors="replace").splitlines()
            logged += [f"[{_name(pod)}] {line}" for line in text_lines]
        return logged[-lines:] if lines else []

    # ---- workloads --------------------------------------------------------

    @property
    def _kind(self) -> ResourceKind:
        return INFERENCE_SERVICE if self._how.kserve else DEPLOYMENT

    def _workloads(self, name: str) -> Sequence[Object]:
        return self._cluster.list(self._kind, labels=f"{manifests.SERVICE_LABEL}={name}")

    def _pods(self, name: str, revision: Revision | None = None) -> Sequence[Object]:
        labels = f"{manifests.SERVICE_LABEL}={name}"
        if revision is not None:
            labels += f",{manifests.REVISION_LABEL}={manifests.workload_name(name, revision)}"
        return self._cluster.list(POD, labels=labels)

    def _delete_workloads(self, name: str, names: set[str]) -> None:
        for workload in sorted(names):
            self._cluster.delete(self._kind, workload)
            if not self._how.kserve:
                self._cluster.delete(SERVICE, workload)

    def _wait_ready(self, name: str, revision: Revision) -> None:
        """Until the revision's Service has an endpoint that is ready for each of its pods.

        Raises what the predictor reports (EvidenceMismatch), else ServiceUnavailable.
        """
        backend = manifests.backend_name(name, revision, kserve=self._how.kserve)

        def has_endpoints() -> bool:
            for pod in self._pods(name, revision):
                if not pod["metadata"].get("deletionTimestamp"):
                    self._raise_what_ended(name, revision, pod)
            return self._ready_endpoints(backend) >= self._how.settings.predictor_replicas

        if not self._until(has_endpoints, self._ready_timeout_s):
            raise self._not_ready(name, revision)

    def _ready_endpoints(self, backend: str) -> int:
        slices = self._cluster.list(ENDPOINT_SLICE, labels=f"kubernetes.io/service-name={backend}")
        endpoints = [e for s in slices for e in s.get("endpoints") or []]
        return sum(bool(e.get("conditions", {}).get("ready")) for e in endpoints)

    def _not_ready(self, name: str, revision: Revision) -> errors.ServiceUnavailable:
        blocker = next((f for p in self._pods(name, revision) if (f := blocked(p))), None)
        why = f": {blocker.reason} {blocker.message}".rstrip() if blocker else ""
        return errors.ServiceUnavailable(
            f"revision {revision.name} was not ready in {self._ready_timeout_s:g} s{why}",
            where=f"{self._kind.kind} {manifests.workload_name(name, revision)}",
            fix=f"kubectl -n {self._cluster.namespace} describe pods -l "
            f"{manifests.REVISION_LABEL}={manifests.workload_name(name, revision)}",
        )

    def _raise_what_ended(self, name: str, revision: Revision, pod: Object) -> None:
        """A predictor leaves its error as the container's termination message."""
        for status in pod.get("status", {}).get("containerStatuses", []):
            ended = status.get("state", {}).get("terminated") or status.get("lastState", {}).get(
                "terminated"
            )
            if not ended or not ended.get("exitCode"):
                continue
            try:
                reported = json.loads(ended.get("message", ""))
            except ValueError:
                raise errors.ServiceUnavailable(
                    f"revision {revision.name} ended with code {ended['exitCode']}",
                    where=f"pod {_name(pod)}",
                    fix=f"platform-ctl service logs {name}",
                ) from None
            raise as_raised(reported)

    def _replace_pods(self, name: str, revision: Revision) -> None:
        """New pods first, then the old ones end. The applied fields do not hold the stamp."""
        old = {p["metadata"]["uid"] for p in self._pods(name, revision)}
        stamp = {"kubectl.kubernetes.io/restartedAt": f"{time.time():.0f}"}
        where = (
            {"predictor": {"annotations": stamp}}
            if self._how.kserve
            else {"template": {"metadata": {"annotations": stamp}}}
        )
        self._cluster.patch(self._kind, manifests.workload_name(name, revision), {"spec": where})

        def replaced() -> bool:
            alive = [
                p for p in self._pods(name, revision) if not p["metadata"].get("deletionTimestamp")
            ]
            new = [p for p in alive if p["metadata"]["uid"] not in old]
            return len(new) == len(alive) and all(is_ready(p) for p in new)

        if not self._until(replaced, self._ready_timeout_s):
            raise self._not_ready(name, revision)

    # ---- the route --------------------------------------------------------

    def _set_route(self, name: str, spec: ServiceSpec, *, stopped: bool = False) -> None:
        """One write moves the traffic. Returns when the Gateway has it."""
        written = self._cluster.apply(manifests.route(name, spec, self._how, stopped=stopped))
        generation = written["metadata"]["generation"]

        def accepted() -> bool:
            route = self._cluster.get(ROUTE, name)
            return route is not None and _is_accepted(route, generation)

        if not self._until(accepted, _ROUTE_S):
            raise errors.ServiceUnavailable(
                f"no Gateway accepted the route of {name} in {_ROUTE_S:g} s",
                where=f"Gateway {self._how.settings.gateway}",
                fix=f"kubectl -n {self._cluster.namespace} describe httproute {name}",
            )
        time.sleep(_SETTLE_S)

    def _route(self, name: str) -> Object:
        route = self._cluster.get(ROUTE, name)
        if route is not None and manifests.SPEC_ANNOTATION in route["metadata"].get(
            "annotations", {}
        ):
            return route
        known = [s.name for s in self.list()]
        if not known:
            raise errors.NothingYet(
                f"there is no InferenceService yet, so there is no {name!r}",
                where=f"namespace {self._cluster.namespace}",
                fix="platform-ctl model list",
            )
        raise errors.unknown(
            f"there is no InferenceService {name!r}",
            name,
            known,
            where=f"namespace {self._cluster.namespace}",
            fix="platform-ctl service list",
        )

    # ---- status -----------------------------------------------------------

    def _status(self, route: Object) -> InferenceService:
        name, marks = _name(route), route["metadata"]["annotations"]
        spec = msgspec.json.decode(marks[manifests.SPEC_ANNOTATION], type=ServiceSpec)
        roles = (("production", spec.production), ("canary", spec.canary))
        revisions = tuple(
            self._revision(name, role, revision) for role, revision in roles if revision is not None
        )
        refusals = route_refusals(route)
        whole = all(r.ready for r in revisions) and not refusals
        state = ServiceState.RUNNING if whole else ServiceState.DEGRADED
        if manifests.STOPPED_ANNOTATION in marks:
            state = ServiceState.STOPPED
        return InferenceService(
            name,
            state,
            self._url or self._gateway_url(),
            spec,
            revisions,
            host=manifests.host(name, self._how.settings),
            route_refusals=refusals,
        )

    def _gateway_url(self) -> str:
        """From the Gateway's status; empty where it has no address, or the account may not look."""
        wanted = self._how.settings
        try:
            gateway = self._cluster.get(GATEWAY, wanted.gateway, wanted.gateway_namespace) or {}
        except errors.ClusterForbidden:
            return ""
        addresses = gateway.get("status", {}).get("addresses") or []
        listeners = gateway.get("spec", {}).get("listeners") or []
        plain = next((x for x in listeners if x.get("protocol") == "HTTP"), None)
        if not addresses or plain is None:
            return ""
        return f"http://{addresses[0]['value']}:{plain['port']}"

    def _revision(self, name: str, role: str, revision: Revision) -> RevisionStatus:
        pods = self._pods(name, revision)
        statuses = [s for p in pods for s in p.get("status", {}).get("containerStatuses", [])]
        finding = next((f for p in pods if (f := blocked(p))), None)
        return RevisionStatus(
            revision.name,
            role,
            None,
            any(is_ready(p) for p in pods),
            restarts=sum(s.get("restartCount", 0) for s in statuses),
            last_failure=f"{finding.reason} {finding.message}".strip() if finding else "",
        )

    def _observed(self, pod: str, since: float) -> Sequence[str]:
        where = f"{POD.path(self._cluster.namespace, pod)}:{manifests.OBSERVATIONS_PORT}/proxy"
        query = {"since": repr(since)}
        try:
            lines = self._cluster.lines(
                f"{where}/observations", query, timeout_s=self._cluster.timeout_s
            )
            return [line.decode() for line in lines]
        except errors.ClusterUnavailable:
            if self._cluster.get(POD, pod) is None:  # it ended meanwhile
                return []
            raise

    def _until(self, holds: Callable[[], bool], limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def is_ready(pod: Object) -> bool:
    """Whether a pod answers, and is not on its way out."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def route_refusals(route: Object) -> tuple[str, ...]:
    """The conditions of a route that do not hold, ``TYPE: REASON: MESSAGE``, of each Gateway."""
    parents = route.get("status", {}).get("parents", [])
    if not parents:
        return ("Accepted: Pending: no Gateway has processed the route",)
    return tuple(
        f"{c['type']}: {c.get('reason', '')}: {c.get('message', '')}"
        for parent in parents
        for c in parent.get("conditions", [])
        if c["type"] in ("Accepted", "ResolvedRefs") and c["status"] == "False"
    )


def _is_accepted(route: Object, generation: int) -> bool:
    """Every Gateway that has an opinion of this generation accepts it and knows its backends."""
    wanted = {"Accepted", "ResolvedRefs"}
    for parent in route.get("status", {}).get("parents", []):
        true = {
            c["type"]
            for c in parent.get("conditions", [])
            if c["status"] == "True" and c.get("observedGeneration", 0) >= generation
        }
        if wanted <= true:
            return True
    return False
