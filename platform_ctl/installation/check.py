"""A cluster against the table of components: what is missing, older or down, each with its mend.

Reads only: GET requests and access reviews, so that it is safe while runs go on.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any

from platform_ctl.cluster.api import (
    DEPLOYMENT,
    FIELD_MANAGER,
    SECRET,
    Cluster,
    Object,
    ResourceKind,
)
from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.errors import ClusterForbidden, ClusterRefused, ClusterUnavailable
from platform_ctl.installation.certificates import RENEW_DAYS, days_left
from platform_ctl.installation.components import InstallComponent, VersionSource
from platform_ctl.installation.preflight import check_preconditions, check_skew
from platform_ctl.settings import KubernetesSettings, TrainingSettings

DEFINITION = ResourceKind(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False
)
OLDEST_SERVER = (1, 30)
"""ValidatingAdmissionPolicy is stable from this version on; the platform's rules need it."""


def check_cluster(
    cluster: Cluster,
    components: Sequence[InstallComponent],
    settings: KubernetesSettings,
    training: TrainingSettings,
) -> list[Check]:
    """Every check, in the order a person would mend them.

    Raises ClusterUnavailable when the API server does not answer: then nothing
    else can be said.
    """
    checks = [check_server(cluster.version())]
    for component in components:
        if component.definitions or component.workloads:
            checks += check_component(cluster, component)
        if component.version_of.healthz and checks[-1].health == Health.OK:
            checks.append(check_skew("kfp-server-api", component.name, checks[-1].detail))
    return [*checks, *check_preconditions(cluster, settings, training)]


def is_ours(document: Object) -> bool:
    """Whether we manage any of its fields, by the API server's own record."""
    managers = document["metadata"].get("managedFields", [])
    return any(entry.get("manager") == FIELD_MANAGER for entry in managers)


def check_server(version: str) -> Check:
    """Whether the API server is new enough."""
    match = re.match(r"v(\d+)\.(\d+)", version)
    if match and (int(match[1]), int(match[2])) >= OLDEST_SERVER:
        return Check("API server", Health.OK, version)
    oldest = ".".join(map(str, OLDEST_SERVER))
    return Check(
        "API server", Health.FAIL, f"{version or 'unknown version'}; {oldest} is the oldest", ""
    )


def check_component(cluster: Cluster, component: InstallComponent) -> list[Check]:
    """One line where all is well or nothing is there; else one for each thing that is not well."""
    install = f"platform-ctl target install {component.name}"
    absent = [n for n in component.definitions if not is_served(cluster.get(DEFINITION, n, ""))]
    deployments = {name: deployment_of(cluster, component, name) for name in component.workloads}
    if absent or (deployments and not any(deployments.values())):
        return [_check_absent(component, absent, install)]
    problems = [
        problem
        for name, deployment in deployments.items()
        if (problem := _check_workload(component, name, deployment, install))
    ]
    problems += check_certificates(cluster, component)
    return problems or [_check_version(cluster, component, install)]


def check_certificates(cluster: Cluster, component: InstallComponent) -> list[Check]:
    """Certificates of webhooks that the installation made and that end soon, or have ended."""
    checks = []
    for wanted in component.certificates:
        secret = cluster.get(SECRET, wanted.secret, wanted.namespace)
        if secret is None or not is_ours(secret):
            continue  # cert-manager's, or the pods that mount it do not start and are named
        days = days_left(secret.get("data") or {}, wanted, datetime.datetime.now(datetime.UTC))
        if days <= RENEW_DAYS:
            what = (
                f"certificate {wanted.namespace}/{wanted.secret} serves for {max(days, 0):.0f} days"
            )
            health = Health.WARN if days > 0 else Health.FAIL
            install = f"platform-ctl target install {component.name}"
            checks.append(Check(component.name, health, what, install))
    return checks


def _check_absent(component: InstallComponent, absent: Sequence[str], install: str) -> Check:
    what = f"not served: {', '.join(absent)}" if absent else "not installed"
    needed = component.core and not component.replaceable
    health = Health.FAIL if needed else Health.WARN
    return Check(component.name, health, f"{what} (without it: {component.without})", install)


def is_served(definition: dict[str, Any] | None) -> bool:
    """Whether a CustomResourceDefinition is there and established."""
    # A definition that was made a moment ago has no list of conditions yet, but null.
    conditions = (definition or {}).get("status", {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def deployment_of(
    cluster: Cluster, component: InstallComponent, name: str
) -> dict[str, Any] | None:
    """A Deployment of a component; elsewhere than in its namespace only where that can be.

    ``redis`` of another team is no part of our storage; an operator that serves every namespace
    is the cluster's, wherever somebody else has put it.
    """
    namespace, _, own = name.rpartition("/")
    if deployment := cluster.get(DEPLOYMENT, own, namespace or component.namespace):
        return deployment
    if not component.anywhere:
        return None
    elsewhere = cluster.list(DEPLOYMENT, fields=f"metadata.name={own}", namespace="")
    return elsewhere[0] if elsewhere else None


def _check_workload(
    component: InstallComponent, name: str, deployment: dict[str, Any] | None, install: str
) -> Check | None:
    if deployment is None:
        return Check(component.name, Health.FAIL, f"there is no Deployment {name}", install)
    name = deployment["metadata"]["name"]
    status = deployment.get("status", {})
    wanted, available = deployment["spec"].get("replicas", 1), status.get("availableReplicas", 0)
    if wanted and available >= wanted:
        return None
    namespace = deployment["metadata"]["namespace"]
    if not wanted:
        fix = f"kubectl -n {namespace} scale deployment/{name} --replicas=1"
        return Check(component.name, Health.FAIL, f"Deployment {name} is scaled to 0", fix)
    return Check(
        component.name,
        Health.FAIL,
        f"Deployment {name}: {available} of {wanted} pods are available",
        f"kubectl -n {namespace} describe deployment/{name}",
    )


def _check_version(cluster: Cluster, component: InstallComponent, install: str) -> Check:
    try:
        installed = installed_version(cluster, component)
    except (ClusterUnavailable, ClusterForbidden, ClusterRefused) as exc:
        what = f"its version cannot be read: {exc.what}"
        return Check(component.name, Health.FAIL, what, exc.fix)
    if installed.removeprefix("v") == component.version.removeprefix("v"):
        return Check(component.name, Health.OK, installed)
    what = f"version {installed or 'unknown'}; tested with {component.version}"
    return Check(component.name, Health.WARN, what, install)


def installed_version(cluster: Cluster, component: InstallComponent) -> str:
    """The version that the cluster has, in its own words; empty when nothing says so."""
    source = component.version_of
    if source == VersionSource():
        return component.version
    if source.image and (deployment := deployment_of(cluster, component, source.image)):
        image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        tagged = image.split("@")[0].rsplit("/", 1)[-1]
        return tagged.partition(":")[2] or "latest"
    if source.annotation:
        definition = cluster.get(DEFINITION, component.definitions[0], "") or {}
        return str(definition.get("metadata", {}).get("annotations", {}).get(source.annotation, ""))
    if source.healthz:
        return _kfp_version(cluster, component, source.healthz)
    return ""


def _kfp_version(cluster: Cluster, component: InstallComponent, service: str) -> str:
    """``tag_name`` of ``/apis/v2beta1/healthz``, through the API server's proxy to the Service."""
    path = f"/api/v1/namespaces/{component.namespace}/services/http:{service}/proxy"
    return str((cluster.read(f"{path}/apis/v2beta1/healthz") or {}).get("tag_name", ""))
