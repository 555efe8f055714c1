"""What only a pod can say: its image runs, its libraries are there, it reaches the stores.

``python -m platform_ctl.installation.probe`` runs in the pod and prints one line
of JSON; ``probe_cluster`` makes the pod, reads the line and deletes the pod.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec

from platform_ctl.cluster import pods
from platform_ctl.cluster.api import POD, Cluster, Object
from platform_ctl.cluster.environment import env_from
from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.errors import (
    ClusterForbidden,
    ClusterRefused,
    ClusterUnavailable,
    ConfigError,
)
from platform_ctl.installation.stores import configured_stores, unreachable
from platform_ctl.settings import KubernetesSettings, load

MODULES = {
    "ray.dashboard.optional_deps": "ray[default]: without it a RayJob stays Initializing forever",
    "boto3": "boto3: MLflow needs it for artifacts in S3",
    "psycopg": "psycopg: the Iceberg catalog and Feast's registry are in PostgreSQL",
    "s3fs": "s3fs: artifacts and golden sets are in S3",
}
"""What an image of the kubernetes target imports beyond the laptop's -> what it is for."""
PROGRAMS = ("bash", "wget", "grep")
"""KubeRay's probes of a Ray pod call them."""
TIMEOUT_S = 120.0
POLL_S = 1.0


class ProbeReport(msgspec.Struct, frozen=True):
    """What the pod found missing; empty lists where all is well."""

    modules: list[str]
    programs: list[str]
    stores: list[str]


def report() -> ProbeReport:
    """Look around in this process. Imports libraries; connects to each store once."""
    settings = load(cwd=Path.cwd(), env=os.environ).settings
    down = unreachable(configured_stores(settings, os.environ))
    return ProbeReport(
        modules=[name for name in MODULES if not _imports(name)],
        programs=[name for name in PROGRAMS if not shutil.which(name)],
        stores=[f"{store.address} ({store.name})" for store in down],
    )


def _imports(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def probe_cluster(
    cluster: Cluster,
    settings: KubernetesSettings,
    *,
    timeout_s: float = TIMEOUT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Check]:
    """Run the probe in a pod of its own and turn what it says into checks.

    Raises ConfigError without an image in the settings.
    """
    if not settings.image:
        raise ConfigError(
            "the probe runs the platform's image, and the settings name none",
            where="kubernetes.image",
            fix="export PLATFORM_CTL_KUBERNETES__IMAGE=REGISTRY/NAME@sha256:…",
        )
    name = f"platform-probe-{uuid.uuid4().hex[:6]}"
    try:
        cluster.create(pod(name, settings))
    except (ClusterForbidden, ClusterRefused, ClusterUnavailable) as exc:
        return [Check("image in a pod", Health.FAIL, f"no pod can be made: {exc.what}", exc.fix)]
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            state = cluster.get(POD, name, settings.namespace) or {}
            phase, stuck = pods.phase(state), pods.blocked(state) if state else None
            if phase in ("Succeeded", "Failed") or time.monotonic() > deadline:
                break
            if stuck and stuck.reason in (pods.Blocked.IMAGE, pods.Blocked.CONFIG):
                break
            sleep(POLL_S)
        log = cluster.log(name, namespace=settings.namespace) or b""
    finally:
        cluster.delete(POD, name, namespace=settings.namespace)
    if phase != "Succeeded":
        return [_not_run(settings, phase, stuck, log)]
    return checks_of(msgspec.json.decode(log.splitlines()[-1], type=ProbeReport), settings)


def _not_run(
    settings: KubernetesSettings, phase: str, stuck: pods.PodFinding | None, log: bytes
) -> Check:
    last = log.decode(errors="replace").strip().splitlines()[-1:]
    why = f"{stuck.reason}: {stuck.message}" if stuck else phase
    detail = f"a pod of {settings.image} does not run: {why} {''.join(last)}".rstrip()
    fix = f"kubectl -n {settings.namespace} get events --sort-by=.lastTimestamp"
    return Check("image in a pod", Health.FAIL, detail, fix)


def checks_of(probed: ProbeReport, settings: KubernetesSettings) -> list[Check]:
    """The report of a pod as checks, each with its mend."""
    lacking = [MODULES[name] for name in probed.modules] + list(probed.programs)
    edit = f"kubectl -n {settings.namespace} edit configmap {settings.config_map}"
    return [
        Check("image in a pod", Health.FAIL, f"lacks {'; '.join(lacking)}", "make image")
        if lacking
        else Check("image in a pod", Health.OK, "it runs and has what Ray, MLflow and S3 need"),
        Check("stores from a pod", Health.FAIL, f"no answer at {', '.join(probed.stores)}", edit)
        if probed.stores
        else Check("stores from a pod", Health.OK, "each answers"),
    ]


def pod(name: str, settings: KubernetesSettings) -> Object:
    """The pod of the probe: no account, no rights, the settings that every pod gets."""
    container = {
        "name": "probe",
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "platform_ctl.installation.probe"],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "envFrom": env_from(settings),
        "resources": {
            "requests": {"cpu": "50m", "memory": "256Mi"},
            "limits": {"cpu": "1", "memory": "1Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": settings.namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "activeDeadlineSeconds": int(TIMEOUT_S),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(msgspec.to_builtins(report())) + "\n")
