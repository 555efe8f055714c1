"""What keeps a run from going through although every component is there, each with its mend.

Sources: the API server's own records (conditions, quotas, allocatable), and its
answer to SubjectAccessReviews, which change nothing.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from platform_ctl.cluster.api import CONFIG_MAP, SECRET, Cluster, ResourceKind
from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.installation.room import check_nodes, check_quota
from platform_ctl.installation.webhooks import NAMESPACE, check_webhooks
from platform_ctl.recipe.recipe import PSEUDONYM_KEY
from platform_ctl.settings import KubernetesSettings, TrainingSettings

STORAGE_CLASS = ResourceKind("storage.k8s.io/v1", "StorageClass", "storageclasses", False)
LOCAL_VOLUMES = "https://github.com/rancher/local-path-provisioner/deploy?ref=v0.0.32"
"""Makes the class ``local-path``, which the next check asks to be the default."""
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
GATEWAY = ResourceKind("gateway.networking.k8s.io/v1", "Gateway", "gateways")
INJECTION = "katib.kubeflow.org/metrics-collector-injection"

CONFIG_KEYS = (
    "PLATFORM_CTL_STORAGE__ARTIFACTS_URI",
    "PLATFORM_CTL_ICEBERG_CATALOG",
    "PLATFORM_CTL_MLFLOW_TRACKING_URI",
    "PLATFORM_CTL_FEAST__REGISTRY",
    "PLATFORM_CTL_FEAST__ONLINE_STORE",
)
"""Without these a step looks for its state in a home that its pod does not have."""
SECRET_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", PSEUDONYM_KEY)

RIGHTS: Mapping[str, Sequence[tuple[str, str, str]]] = {
    "pipeline-runner": (
        ("create", "kubeflow.org", "experiments"),
        ("get", "kubeflow.org", "trials"),
        ("create", "ray.io", "rayjobs"),
        ("get", "", "pods/log"),
    ),
    "deployer": (
        ("create", "apps", "deployments"),
        ("create", "serving.kserve.io", "inferenceservices"),
        ("patch", "gateway.networking.k8s.io", "httproutes"),
    ),
}
"""ServiceAccount -> (verb, API group, resource) that its runs need."""


def check_preconditions(
    cluster: Cluster, settings: KubernetesSettings, training: TrainingSettings
) -> list[Check]:
    """Every check of this module, in the order a person would mend them."""
    return [
        check_storage_class(cluster),
        *check_webhooks(cluster),
        check_gateway(cluster, settings),
        check_namespace(cluster, settings.namespace),
        *check_environment(cluster, settings),
        *check_rights(cluster, settings),
        check_quota(cluster, settings.namespace, training),
        check_nodes(cluster, training),
        check_image(settings),
    ]


def check_storage_class(cluster: Cluster) -> Check:
    """Whether a claim without a class gets a volume."""
    classes = cluster.list(STORAGE_CLASS, namespace="")
    for storage_class in classes:
        if storage_class["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true":
            return Check(
                "StorageClass", Health.OK, f"{storage_class['metadata']['name']} is the default"
            )
    name = classes[0]["metadata"]["name"] if classes else ""
    if not name:
        return Check(
            "StorageClass",
            Health.FAIL,
            "the cluster has none; folders of the node do for a cluster of one node",
            f"kubectl apply --kustomize '{LOCAL_VOLUMES}'",
        )
    return Check(
        "StorageClass",
        Health.FAIL,
        "none is the default, so claims wait forever",
        f"kubectl annotate storageclass {name} {DEFAULT_CLASS}=true",
    )


def check_gateway(cluster: Cluster, settings: KubernetesSettings) -> Check:
    """Whether the Gateway of the settings is programmed: otherwise no route works."""
    name, namespace = settings.gateway, settings.gateway_namespace
    gateway = cluster.get(GATEWAY, name, namespace)
    if gateway is None:
        return Check(
            "Gateway",
            Health.WARN,
            f"there is no Gateway {namespace}/{name}: nothing can be served",
            "platform-ctl target install gateway-api",
        )
    conditions = gateway.get("status", {}).get("conditions", [])
    programmed: dict[str, Any] = next((c for c in conditions if c["type"] == "Programmed"), {})
    if programmed.get("status") == "True":
        return Check("Gateway", Health.OK, f"{namespace}/{name} is programmed")
    reason = programmed.get("reason", "no controller has processed it")
    wanted = gateway["spec"]["gatewayClassName"]
    return Check(
        "Gateway",
        Health.FAIL,
        f"{namespace}/{name} of class {wanted} is not programmed: {reason}",
        f"kubectl -n {namespace} describe gateway {name}",
    )


def check_namespace(cluster: Cluster, name: str) -> Check:
    """Whether Katib adds its collector to trials of the namespace."""
    namespace = cluster.get(NAMESPACE, name, "")
    if namespace is None:
        return Check(
            "namespace", Health.FAIL, f"there is no {name}", f"kubectl create namespace {name}"
        )
    if namespace["metadata"].get("labels", {}).get(INJECTION) == "enabled":
        return Check("namespace", Health.OK, f"{name} has the label of Katib's collector")
    return Check(
        "namespace",
        Health.FAIL,
        f"{name} lacks the label that lets Katib read a trial's metrics",
        f"kubectl label namespace {name} {INJECTION}=enabled",
    )


def check_environment(cluster: Cluster, settings: KubernetesSettings) -> Iterator[Check]:
    """Whether the ConfigMap and the Secret give pods what steps look for."""
    namespace = settings.namespace
    for kind, name, keys in (
        (CONFIG_MAP, settings.config_map, CONFIG_KEYS),
        (SECRET, settings.secret, SECRET_KEYS),
    ):
        stored = cluster.get(kind, name, namespace)
        missing = [k for k in keys if k not in ((stored or {}).get("data") or {})]
        what = f"{kind.kind} {namespace}/{name}"
        if not missing:
            yield Check("settings of pods", Health.OK, f"{what} has {len(keys)} keys that it needs")
            continue
        yield Check(
            "settings of pods",
            Health.FAIL,
            f"{what} lacks {', '.join(missing)}" if stored else f"there is no {what}",
            f"kubectl -n {namespace} edit {kind.kind.lower()} {name}"
            if stored
            else "platform-ctl target install platform",
        )


def check_rights(cluster: Cluster, settings: KubernetesSettings) -> Iterator[Check]:
    """Whether each ServiceAccount may do what its runs do, as the API server decides."""
    for account, needed in RIGHTS.items():
        refused = [
            f"{verb} {resource}{'.' + group if group else ''}"
            for verb, group, resource in needed
            if not cluster.may_account(account, verb, resource, group, settings.namespace)
        ]
        name = f"rights of {account}"
        if not refused:
            yield Check(name, Health.OK, f"{len(needed)} that its runs need")
            continue
        yield Check(
            name,
            Health.FAIL,
            f"may not {', '.join(refused)}",
            "platform-ctl target install platform",
        )


def check_image(settings: KubernetesSettings) -> Check:
    """Whether the settings name an image that is the same tomorrow."""
    if not settings.image:
        return Check(
            "image",
            Health.FAIL,
            "the settings name no image for steps",
            "export PLATFORM_CTL_KUBERNETES__IMAGE=REGISTRY/NAME@sha256:…",
        )
    if "@sha256:" not in settings.image:
        return Check(
            "image",
            Health.WARN,
            f"{settings.image} has no digest, so it may be another one tomorrow",
            "export PLATFORM_CTL_KUBERNETES__IMAGE=REGISTRY/NAME@sha256:…",
        )
    return Check("image", Health.OK, settings.image)


def check_skew(package: str, server: str, version: str) -> Check:
    """Whether the client installed here speaks the server's version, by major and minor."""
    client = importlib.metadata.version(package)
    name = f"{package} and {server}"
    if _minor(client) == _minor(version):
        return Check(name, Health.OK, f"{client} here, {version} there")
    return Check(
        name,
        Health.FAIL,
        f"{client} here, {version} there: their minor versions differ",
        f"pip install '{package}=={'.'.join(_minor(version))}.*'",
    )


def _minor(version: str) -> list[str]:
    return version.removeprefix("v").split(".")[:2]
