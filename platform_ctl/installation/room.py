"""Whether the cluster has room for one fit: quotas of the namespace, sizes of the nodes.

Sources: ``status.hard`` and ``status.used`` of ResourceQuotas, ``status.allocatable``,
conditions and taints of Nodes (Kubernetes API v1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from platform_ctl.cluster.api import Cluster, ResourceKind
from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.installation.rendering import cpu_millis, memory_mebibytes
from platform_ctl.settings import TrainingSettings

NODE = ResourceKind("v1", "Node", "nodes", False)
QUOTA = ResourceKind("v1", "ResourceQuota", "resourcequotas")
GPU = "nvidia.com/gpu"
KEEPS_AWAY = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Room:
    """CPU in thousandths of a core, memory in MiB, and GPUs."""

    cpu_m: float
    memory_mib: float
    gpus: int = 0

    def holds(self, other: Room) -> bool:
        return (
            self.cpu_m >= other.cpu_m
            and self.memory_mib >= other.memory_mib
            and self.gpus >= other.gpus
        )

    def __str__(self) -> str:
        gpus = f" and {self.gpus} GPUs" if self.gpus else ""
        return f"{self.cpu_m:.0f}m CPU, {self.memory_mib:.0f} MiB{gpus}"


def worker(training: TrainingSettings) -> Room:
    """What the pod of one worker of a fit requests."""
    return Room(training.worker_cpus * 1000, training.worker_memory_mib, training.worker_gpus)


def smallest_fit(training: TrainingSettings) -> Room:
    """What the head and one worker request together."""
    one = worker(training)
    head = Room(training.head_cpus * 1000, training.head_memory_mib)
    return Room(one.cpu_m + head.cpu_m, one.memory_mib + head.memory_mib, one.gpus)


def check_quota(cluster: Cluster, namespace: str, training: TrainingSettings) -> Check:
    """Whether the quotas of the namespace leave room for the head and one worker of a fit."""
    needed = smallest_fit(training)
    for quota in cluster.list(QUOTA, namespace=namespace):
        status = quota.get("status", {})
        free = _free(status.get("hard", {}), status.get("used", {}))
        if not free.holds(needed):
            name = quota["metadata"]["name"]
            return Check(
                "quota",
                Health.FAIL,
                f"{name} leaves {free}; a fit with one worker needs {needed}",
                f"kubectl -n {namespace} edit resourcequota {name}",
            )
    return Check("quota", Health.OK, "no quota is too small")


def _free(hard: Mapping[str, str], used: Mapping[str, str]) -> Room:
    """What a quota leaves; infinite where it has no limit. GPUs are left to the scheduler."""
    free = []
    for resource, parse in (("cpu", cpu_millis), ("memory", memory_mebibytes)):
        names = [n for n in (resource, f"requests.{resource}") if n in hard]
        remaining = [parse(hard[n]) - parse(used.get(n, "0")) for n in names]
        free.append(min(remaining, default=float("inf")))
    return Room(free[0], free[1], gpus=1_000_000)


def check_nodes(cluster: Cluster, training: TrainingSettings) -> Check:
    """Whether some node that takes pods is large enough for one worker, when it is empty."""
    needed = worker(training)
    nodes = cluster.list(NODE, namespace="")
    rooms = list(_rooms(nodes, training.tolerations))
    if any(room.holds(needed) for room in rooms):
        return Check("nodes", Health.OK, f"the largest has {max(rooms, key=lambda r: r.cpu_m)}")
    closed = len(nodes) - len(rooms)
    aside = f" ({closed} more are not ready, cordoned or tainted)" if closed else ""
    return Check(
        "nodes",
        Health.FAIL,
        f"none of {len(rooms)} nodes can take a worker of {needed}{aside}",
        "export PLATFORM_CTL_TRAINING__WORKER_CPUS=… PLATFORM_CTL_TRAINING__WORKER_MEMORY_MIB=…"
        if rooms
        else "kubectl describe nodes",
    )


def _rooms(nodes: list[dict[str, Any]], tolerated: list[str]) -> Iterator[Room]:
    """What the nodes that take a pod of ours have for pods."""
    for node in nodes:
        spec, status = node.get("spec", {}), node.get("status", {})
        ready = [c["status"] for c in status.get("conditions", []) if c["type"] == "Ready"]
        shut = spec.get("unschedulable") or ready != ["True"]
        if shut or any(_keeps_away(taint, tolerated) for taint in spec.get("taints") or []):
            continue
        has = status.get("allocatable", {})
        yield Room(
            cpu_millis(has.get("cpu", "0")),
            memory_mebibytes(has.get("memory", "0")),
            int(has.get(GPU, "0")),
        )


def _keeps_away(taint: Mapping[str, str], tolerated: list[str]) -> bool:
    key, effect = taint["key"], taint["effect"]
    spellings = {f"{key}:{effect}", f"{key}={taint.get('value', '')}:{effect}"}
    return effect in KEEPS_AWAY and not spellings & set(tolerated)
