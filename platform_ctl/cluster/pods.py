"""Why a pod does not run, from the typed fields of its status.

Sources: PodStatus and ContainerState of the Kubernetes API (v1). A reason is a
word of the API (``ImagePullBackOff``, ``OOMKilled``, ``Unschedulable``); the
message beside it is shown to people and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Blocked(StrEnum):
    """What keeps a pod from running or made it end."""

    UNSCHEDULABLE = "Unschedulable"
    IMAGE = "ImagePullBackOff"
    CONFIG = "CreateContainerConfigError"
    CRASH_LOOP = "CrashLoopBackOff"
    OUT_OF_MEMORY = "OOMKilled"
    EVICTED = "Evicted"
    FAILED = "Error"


LASTING = frozenset({Blocked.UNSCHEDULABLE, Blocked.IMAGE, Blocked.CONFIG, Blocked.CRASH_LOOP})
"""What no waiting ends: somebody has to change the cluster or what asks for the pod."""
WAITING = {
    "ImagePullBackOff": Blocked.IMAGE,
    "ErrImagePull": Blocked.IMAGE,
    "ErrImageNeverPull": Blocked.IMAGE,
    "InvalidImageName": Blocked.IMAGE,
    "CreateContainerConfigError": Blocked.CONFIG,
    "CreateContainerError": Blocked.CONFIG,
    "RunContainerError": Blocked.CONFIG,
    "CrashLoopBackOff": Blocked.CRASH_LOOP,
}
"""``state.waiting.reason`` of a container that does not come up by itself."""


@dataclass(frozen=True)
class PodFinding:
    """``container`` is empty where the whole pod is meant; ``exit_code`` None while it waits."""

    pod: str
    reason: Blocked
    container: str = ""
    message: str = ""
    exit_code: int | None = None


def phase(pod: Mapping[str, Any]) -> str:
    """Pending, Running, Succeeded, Failed or Unknown."""
    return str(pod.get("status", {}).get("phase", "Unknown"))


def blocked(pod: Mapping[str, Any]) -> PodFinding | None:
    """The first thing that keeps ``pod`` from doing its work; None when nothing is known to."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    if status.get("reason") == "Evicted":
        return PodFinding(name, Blocked.EVICTED, message=str(status.get("message", "")))
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return PodFinding(
                name, Blocked.UNSCHEDULABLE, message=str(condition.get("message", ""))
            )
    for container in _containers(status):
        if finding := _of_container(name, container):
            return finding
    return None


def _containers(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _of_container(pod: str, container: Mapping[str, Any]) -> PodFinding | None:
    state = container.get("state", {})
    waiting = state.get("waiting", {})
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
    if ended.get("reason") == "OOMKilled":
        return PodFinding(pod, Blocked.OUT_OF_MEMORY, container["name"], "", ended.get("exitCode"))
    if reason := WAITING.get(waiting.get("reason", "")):
        return PodFinding(pod, reason, container["name"], str(waiting.get("message", "")))
    if (ended := state.get("terminated")) and ended.get("exitCode", 0) != 0:
        message = str(ended.get("message", ""))
        return PodFinding(pod, Blocked.FAILED, container["name"], message, ended["exitCode"])
    return None
