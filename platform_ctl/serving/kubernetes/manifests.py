"""An InferenceService as objects of the cluster. Pure functions of values.

Formats: KServe serving.kserve.io/v1beta1 in Standard mode, apps/v1, v1, Gateway
API gateway.networking.k8s.io/v1.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from platform_ctl.cluster.environment import env_from
from platform_ctl.serving.service import (
    REVISION_HEADER,
    Revision,
    ServiceSpec,
)
from platform_ctl.settings import KubernetesSettings

Object = dict[str, Any]

PREFIX = "platform-ctl.io"
SERVICE_LABEL = f"{PREFIX}/service"
REVISION_LABEL = f"{PREFIX}/revision"
SPEC_ANNOTATION = f"{PREFIX}/spec"
"""On the HTTPRoute: the ServiceSpec as JSON. Route and spec change in one write."""
STOPPED_ANNOTATION = f"{PREFIX}/stopped"
PORT, OBSERVATIONS_PORT = 8080, 8081
CONTAINER = "kserve-container"
"""KServe's name for the container that serves."""
PRE_STOP_S = 10
"""A pod goes on accepting for this long after its removal began: as long as a Gateway may take to
hear of it."""
DRAIN_S = 15
_NAME_LIMIT = 50
"""KServe appends ``-predictor`` to a name of at most 63 characters."""


@dataclass(frozen=True)
class PredictorSettings:
    """How predictors are run on this cluster."""

    namespace: str
    image: str
    settings: KubernetesSettings
    kserve: bool
    data_access: str
    """``module:function`` that tells a predictor where data is."""
    cpu: str = "100m"
    memory_mib: int = 1024


def workload_name(service: str, revision: Revision) -> str:
    """Of a revision's predictor: the same for the same revision, whatever its role."""
    slug = re.sub(r"[^a-z0-9]+", "-", revision.name.lower()).strip("-")
    name = f"{service}-{slug}"
    if len(name) <= _NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _NAME_LIMIT - 9].rstrip('-')}-{digest}"


def backend_name(service: str, revision: Revision, *, kserve: bool) -> str:
    """The Service in front of a revision's pods."""
    name = workload_name(service, revision)
    return f"{name}-predictor" if kserve else name


def labels(service: str, revision: Revision | None = None) -> dict[str, str]:
    marks = {"app.kubernetes.io/managed-by": "platform-ctl", SERVICE_LABEL: service}
    if revision is not None:
        marks[REVISION_LABEL] = workload_name(service, revision)
    return marks


def workload(
    service: str, revision: Revision, spec: ServiceSpec, how: PredictorSettings
) -> list[Object]:
    """What runs one revision: an InferenceService, or a Deployment and a Service."""
    name, marks = workload_name(service, revision), labels(service, revision)
    meta = {"name": name, "namespace": how.namespace, "labels": marks}
    pod, replicas = _pod(service, revision, spec, how), how.settings.predictor_replicas
    if how.kserve:
        return [_inference_service(meta, pod, replicas)]
    return _deployment_and_service(meta, pod, replicas)


def _inference_service(meta: Object, pod: Object, replicas: int) -> Object:
    annotations = {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "none",
    }
    marks = meta["labels"]
    # The platform's own route is the only way in: KServe makes none for the cluster's outside.
    private = {**marks, "networking.kserve.io/visibility": "cluster-local"}
    count = {"minReplicas": replicas, "maxReplicas": replicas}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {**meta, "labels": private, "annotations": annotations},
        "spec": {"predictor": {"labels": marks, **count, **pod}},
    }


def _deployment_and_service(meta: Object, pod: Object, replicas: int) -> list[Object]:
    name = meta["name"]
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {REVISION_LABEL: name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}},
            "template": {"metadata": {"labels": meta["labels"]}, "spec": pod},
        },
    }
    ports = [{"name": "http", "port": 80, "targetPort": PORT}]
    in_front = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"selector": {REVISION_LABEL: name}, "ports": ports},
    }
    return [deployment, in_front]


def _pod(service: str, revision: Revision, spec: ServiceSpec, how: PredictorSettings) -> Object:
    command = [
        *("python", "-m", "platform_ctl.serving.server"),
        *("--name", service, "--revision", revision.name, "--port", str(PORT)),
        *("--observations-port", str(OBSERVATIONS_PORT)),
        *("--model-uri", revision.model_uri or revision.model_dir),
        *("--model-digest", revision.model_digest),
        *("--entity", spec.entity, "--online-features", spec.online_features),
        *("--data-access", how.data_access),
    ]
    ready = {"httpGet": {"path": "/v2/health/ready", "port": PORT}}
    memory = f"{how.memory_mib}Mi"
    container = {
        "name": CONTAINER,
        "image": how.image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "envFrom": env_from(how.settings),
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": how.cpu, "memory": memory}, "limits": {"memory": memory}},
        "startupProbe": {**ready, "periodSeconds": 1, "failureThreshold": 300},
        "readinessProbe": {**ready, "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_S}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
        },
    }
    return {
        "containers": [container],
        "terminationGracePeriodSeconds": PRE_STOP_S + DRAIN_S,
        "serviceAccountName": how.settings.service_account,
        "automountServiceAccountToken": False,
    }


def route(
    service: str, spec: ServiceSpec, how: PredictorSettings, *, stopped: bool = False
) -> Object:
    """The one HTTPRoute: the split by weight, and each revision for who asks it by header.

    A rule without a backend is answered with 500 by the Gateway: a service that is
    stopped, or that has no production yet.
    """
    settings = how.settings
    marks = {SPEC_ANNOTATION: msgspec.json.encode(spec).decode()}
    if stopped:
        marks[STOPPED_ANNOTATION] = "true"
    gateway = {"name": settings.gateway, "namespace": settings.gateway_namespace}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": service,
            "namespace": how.namespace,
            "labels": labels(service),
            "annotations": marks,
        },
        "spec": {
            "parentRefs": [gateway],
            "hostnames": [host(service, settings)],
            "rules": [{"matches": [_ANY]}] if stopped else _rules(service, spec, how),
        },
    }


_ANY: Object = {"path": {"type": "PathPrefix", "value": "/"}}


def _rules(service: str, spec: ServiceSpec, how: PredictorSettings) -> list[Object]:
    def backend(revision: Revision, weight: int) -> Object:
        name = backend_name(service, revision, kserve=how.kserve)
        return {"name": name, "port": 80, "weight": weight}

    rules: list[Object] = []
    for role, revision in (("canary", spec.canary), ("production", spec.production)):
        if revision is not None:
            header = {"type": "Exact", "name": REVISION_HEADER, "value": role}
            match = {**_ANY, "headers": [header]}
            rules.append({"matches": [match], "backendRefs": [backend(revision, 1)]})
    split: Object = {"matches": [_ANY]}
    if spec.production is not None:
        refs = [backend(spec.production, 100 - (spec.weight_percent if spec.canary else 0))]
        if spec.canary is not None:
            refs.append(backend(spec.canary, spec.weight_percent))
        split["backendRefs"] = refs
    return [*rules, split]


def host(service: str, settings: KubernetesSettings) -> str:
    """The host name at which the Gateway knows the service."""
    return f"{service}.{settings.host_suffix}"
