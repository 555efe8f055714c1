"""Why the pods of a fit do not come up or did not end well, by type.

For ``run why``: ``findings(cluster, labels)`` reads, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from platform_ctl.cluster.api import POD, Cluster, ResourceKind
from platform_ctl.cluster.owner import STEP
from platform_ctl.cluster.pods import LASTING, blocked
from platform_ctl.cluster.refusals import Refusal, refused_pods
from platform_ctl.training.kubernetes.manifests import ATTEMPT_LABEL, PREFIX, RUN_LABEL

RAY_JOB = ResourceKind("ray.io/v1", "RayJob", "rayjobs")
NOT_READY_AFTER = timedelta(seconds=90)
"""A Ray head whose container runs this long and whose probe does not pass has a reason for it. It
may still come up: on a busy node of two cores one took four minutes. What never does, ends with
``training.start_timeout_s``."""


class TrainingReason(StrEnum):
    """Reasons that are a fit's own; those of a single pod are cluster.pods.Blocked."""

    QUEUED = "Queued"
    HEAD_NOT_READY = "RayHeadNotReady"
    DEADLINE = "DeadlineExceeded"
    LOST = "WorkersLost"


@dataclass(frozen=True)
class TrainingFinding:
    """One reason. ``fix`` is a command; ``reason`` a TrainingReason or a cluster.pods.Blocked."""

    job: str
    reason: str
    message: str
    fix: str
    pod: str = ""
    task: str = ""
    step: str = ""
    """Argo's name of the step whose fit it is."""
    lasting: bool = False
    """Whether no waiting ends it."""


def findings(cluster: Cluster, run_id: str) -> list[TrainingFinding]:
    """Everything that keeps the fits of a run from going on, newest attempt of each."""
    newest: dict[str, dict[str, Any]] = {}
    jobs = cluster.list(RAY_JOB, labels=f"{RUN_LABEL}={run_id}")
    for job in sorted(jobs, key=lambda j: int(j["metadata"]["labels"].get(ATTEMPT_LABEL, 0))):
        newest[job["metadata"].get("annotations", {}).get(f"{PREFIX}/task", "")] = job
    return [finding for job in newest.values() for finding in of_job(cluster, job)]


def of_job(
    cluster: Cluster, job: Mapping[str, Any], now: datetime | None = None
) -> list[TrainingFinding]:
    """What is known of one RayJob; nothing where it goes well."""
    name, status = job["metadata"]["name"], job.get("status", {})
    notes = job["metadata"].get("annotations", {})
    task, step = notes.get(f"{PREFIX}/task", ""), notes.get(STEP, "")
    state = status.get("jobDeploymentStatus", "")
    if job["spec"].get("suspend"):
        message = "the fit is suspended and waits for its queue to admit it"
        fix = f"kubectl -n {cluster.namespace} describe workloads"
        return [TrainingFinding(name, TrainingReason.QUEUED, message, fix, task=task, step=step)]
    if state == "Failed":
        late = status.get("reason") == "DeadlineExceeded"
        reason = TrainingReason.DEADLINE if late else TrainingReason.LOST
        message = str(status.get("message", "")) or "the Ray cluster was lost"
        fix = "platform-ctl run resume latest"
        return [TrainingFinding(name, reason, message, fix, task=task, step=step)]
    refusals = [
        TrainingFinding(name, why.reason, why.message, why.fix, task=task, step=step, lasting=True)
        for why in _refused(cluster, status.get("rayClusterName", ""))
    ]
    of_pods = (
        _of_pod(cluster, name, pod, now or datetime.now(UTC), task, step)
        for pod in pods_of(cluster, job)
    )
    return [*refusals, *(finding for finding in of_pods if finding)]


def _of_pod(
    cluster: Cluster, job: str, pod: Mapping[str, Any], now: datetime, task: str, step: str
) -> TrainingFinding | None:
    name = pod["metadata"]["name"]
    if one := blocked(pod):
        fix = f"kubectl -n {cluster.namespace} describe pod {one.pod}"
        lasting = one.reason in LASTING
        return TrainingFinding(job, one.reason, one.message, fix, one.pod, task, step, lasting)
    if _waits_for_its_probe(pod, now):
        message = (
            "Ray's head runs and is not ready yet: its node is slow, or its image lacks "
            "ray[default], whose dashboard agent the readiness probe asks"
        )
        fix = f"kubectl -n {cluster.namespace} exec {name} -- pip show ray"
        reason = TrainingReason.HEAD_NOT_READY
        return TrainingFinding(job, reason, message, fix, name, task, step)
    return None


def _refused(cluster: Cluster, name: str) -> list[Refusal]:
    """Why KubeRay could not make a pod of a RayCluster: its condition ``ReplicaFailure``."""
    kind = cluster.kind("ray.io/v1", "RayCluster") if name else None
    stored = cluster.get(kind, name) if kind else None
    conditions = (stored or {}).get("status", {}).get("conditions", [])
    return [
        refused_pods(cluster, str(c.get("message", "")), {"ray.io/cluster": name})
        for c in conditions
        if c["type"] == "ReplicaFailure" and c["status"] == "True"
    ]


def pods_of(cluster: Cluster, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pods of a RayJob's cluster, the head first."""
    ray_cluster = job.get("status", {}).get("rayClusterName", "")
    if not ray_cluster:
        return []
    pods = cluster.list(POD, labels=f"ray.io/cluster={ray_cluster}")
    return sorted(pods, key=lambda p: p["metadata"]["labels"].get("ray.io/node-type") != "head")


def _waits_for_its_probe(pod: Mapping[str, Any], now: datetime) -> bool:
    if pod["metadata"]["labels"].get("ray.io/node-type") != "head":
        return False
    for container in pod.get("status", {}).get("containerStatuses", []):
        running = container.get("state", {}).get("running")
        if running and not container.get("ready"):
            return now - datetime.fromisoformat(running["startedAt"]) > NOT_READY_AFTER
    return False
