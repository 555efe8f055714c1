"""KubeRay's operator on the fake API server: the fit is a call in this process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from platform_ctl.training.kubernetes import entrypoint
from platform_ctl.training.kubernetes.job_files import JobFiles
from tests.fakes.objects import FakeObjects, stamp

LABELS = {"ray.io/node-type": "head"}


class FakeKubeRay:
    """Give it the objects; each look moves every RayJob one step.

    ``lose_heads``: how many attempts lose their head before they end; ``comes_up`` False:
    the head's pod waits with ``waiting`` for ever; ``late`` True: the time limit ends it.
    """

    def __init__(
        self,
        objects: FakeObjects,
        *,
        lose_heads: int = 0,
        comes_up: bool = True,
        waiting: str = "ImagePullBackOff",
        late: bool = False,
    ) -> None:
        self._objects = objects
        self._lose_heads = lose_heads
        self._comes_up = comes_up
        self._waiting = waiting
        self._late = late
        self.ran: list[str] = []
        self._lost: set[str] = set()
        objects.controllers.append(self.step)

    def step(self) -> None:
        for (kind, name), found in list(self._objects.objects.items()):
            if kind == "RayJob" and not found["spec"].get("suspend"):
                self._reconcile(name, found)

    def _reconcile(self, name: str, job: dict[str, Any]) -> None:
        status = job.setdefault("status", {})
        state = status.get("jobDeploymentStatus", "")
        if state == "":
            status |= {"jobDeploymentStatus": "Initializing", "rayClusterName": name}
            self._head(name, ready=self._comes_up)
        elif state == "Initializing" and self._comes_up:
            status["jobDeploymentStatus"] = "Running"
        elif state == "Running" and name not in self._lost:
            self._run(name, job, status)

    def _run(self, name: str, job: dict[str, Any], status: dict[str, Any]) -> None:
        self.ran.append(name)
        if self._late:
            status |= {"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"}
        elif self._lose_heads:
            self._lose_heads -= 1
            self._lost.add(name)  # the operator makes a new head, which knows of no job
            self._head(name, ready=True)
        else:
            uri = job["spec"]["entrypoint"].rpartition("--job=")[2]
            files = JobFiles(uri)
            with tempfile.TemporaryDirectory() as inputs:
                entrypoint.fetch(files.job(), Path(inputs))
                files.write_result(entrypoint.fit(files, files.job(), Path(inputs)))
            status["jobDeploymentStatus"] = "Complete"

    def _head(self, name: str, *, ready: bool) -> None:
        waiting = {"state": {"waiting": {"reason": self._waiting}}}
        running = {"state": {"running": {"startedAt": stamp()}}}
        container = {"name": "ray-head", "ready": ready, **(running if ready else waiting)}
        labels = {**LABELS, "ray.io/cluster": name}
        self._objects.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"{name}-head", "labels": labels},
                "status": {"containerStatuses": [container]},
            }
        )
