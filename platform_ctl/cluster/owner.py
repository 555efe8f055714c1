"""The pod in which this process runs: its image, and who owns what it makes.

What a step's pod makes (RayJobs, Experiments) belongs to the step's workflow, so
that the API server removes it with the run, whatever became of the pod.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platform_ctl.cluster.api import POD, Cluster
from platform_ctl.errors import ClusterForbidden

NAMES = ("KFP_POD_NAME", "HOSTNAME")
RUN_LABEL = "pipeline/runid"
"""On every pod of a run (KFP 2.17). As an input of the step it would be part of the cache key."""
NODE_NAME = "workflows.argoproj.io/node-name"
"""Argo's annotation of a step's pod: the full name of its node, which holds the task's path."""
STEP = "platform-ctl.io/step"
"""Annotation of what a step makes: the ``NODE_NAME`` of its pod."""
SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class OwnPod:
    """Empty outside a pod, or where the account may not read its own pod."""

    image: str = ""
    owners: list[dict[str, Any]] = field(default_factory=list)
    """``ownerReferences`` for what is made in the pod's own namespace."""
    run_id: str = ""
    """KFP's run of which the pod is a step."""
    node: str = ""
    """Argo's full name of the step."""


def own_pod(
    cluster: Cluster,
    env: Mapping[str, str] = os.environ,
    namespace_file: Path = SERVICE_ACCOUNT_NAMESPACE,
) -> OwnPod:
    """The pod of this process, as the API server has it."""
    name = next((env[key] for key in NAMES if env.get(key)), "")
    if not namespace_file.exists() or not name:
        return OwnPod()
    namespace = namespace_file.read_text(encoding="ascii").strip()
    try:
        pod = cluster.get(POD, name, namespace)
    except ClusterForbidden:
        return OwnPod()
    if pod is None:
        return OwnPod()
    main = {c["name"]: c for c in pod["spec"]["containers"]}
    container = main.get("main") or pod["spec"]["containers"][0]
    owners = pod["metadata"].get("ownerReferences", []) if namespace == cluster.namespace else []
    return OwnPod(
        container["image"],
        [{**o, "blockOwnerDeletion": False} for o in owners],
        pod["metadata"].get("labels", {}).get(RUN_LABEL, ""),
        pod["metadata"].get("annotations", {}).get(NODE_NAME, ""),
    )
