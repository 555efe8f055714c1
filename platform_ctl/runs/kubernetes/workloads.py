"""What the steps of a run have on the cluster: their pods, and the jobs that they made.

A reason is a word of the API, from the typed fields of a status; ``Blocker.lasting`` says whether
no waiting ends it. Jobs are what a step waits for: a RayJob, a Katib Experiment. Each kind of job
explains and removes its own (``training.kubernetes``, ``tuning.kubernetes``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from platform_ctl.cluster.api import POD, Cluster
from platform_ctl.cluster.owner import NODE_NAME, RUN_LABEL
from platform_ctl.cluster.pods import LASTING, Blocked, PodFinding, blocked, phase
from platform_ctl.runs.kubernetes.nodes import WorkflowNode
from platform_ctl.runs.record import Blocker

STOP_S = 60.0
"""How long pods of a cancelled run are waited for: Kubernetes gives a container 30 s to end."""
_POLL_S = 1.0
_DESCRIBE = "kubectl -n {namespace} describe pod {pod}"
_FIXES = {
    Blocked.UNSCHEDULABLE: _DESCRIBE,
    Blocked.IMAGE: _DESCRIBE,
    Blocked.CONFIG: _DESCRIBE,
    Blocked.CRASH_LOOP: "kubectl -n {namespace} logs {pod} -c main --previous",
    Blocked.OUT_OF_MEMORY: _DESCRIBE,
    Blocked.EVICTED: _DESCRIBE,
}


class JobFinding(Protocol):
    """What a room says of a job: ``step`` is Argo's name of the step that made it, or empty."""

    @property
    def reason(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def fix(self) -> str: ...
    @property
    def pod(self) -> str: ...
    @property
    def step(self) -> str: ...
    @property
    def lasting(self) -> bool: ...


class Workloads(Protocol):
    """Methods that read raise ClusterForbidden where the caller may not, ClusterUnavailable."""

    def blockers(self, run_id: str, nodes: Sequence[WorkflowNode]) -> Mapping[str, Blocker]:
        """Task path -> why it does not proceed, or why it ended."""
        ...

    def stop(self, run_id: str) -> None:
        """Remove the jobs of a run that is being ended, when none of its steps can make another."""
        ...


@dataclass(frozen=True)
class NoWorkloads:
    """A caller without a connection to the cluster itself."""

    def blockers(self, run_id: str, nodes: Sequence[WorkflowNode]) -> Mapping[str, Blocker]:
        return {}

    def stop(self, run_id: str) -> None:
        """Nothing."""


@dataclass(frozen=True)
class ClusterWorkloads:
    """Those in the namespace of a connection."""

    cluster: Cluster
    findings: Sequence[Callable[[str], Sequence[JobFinding]]] = ()
    """For a run's id, what keeps its jobs from a result: one function a room that makes jobs."""
    ends: Sequence[Callable[[str], None]] = ()
    """For a run's id, removes its jobs: one function a room that makes jobs."""
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def blockers(self, run_id: str, nodes: Sequence[WorkflowNode]) -> dict[str, Blocker]:
        """Of its own pod; else of a job that it waits for. Pods that are gone say nothing."""
        found = self._of_pods(run_id, nodes)
        by_node = {n.executor: n for n in nodes if n.executor and not n.task.state.good}
        for one in sorted(self._of_jobs(run_id), key=lambda f: not f.lasting):
            node = by_node.get(one.step) or _only(by_node.values(), unless=one.step)
            if node is None:
                continue
            known = found.get(node.task.path)
            if known is None or known.reason == Blocked.FAILED:
                found[node.task.path] = _of_job(one, known)
        return found

    def stop(self, run_id: str) -> None:
        """A step that still runs would see its job vanish and make another one."""
        for _ in range(int(STOP_S / _POLL_S)):
            if not any(phase(pod) in ("Pending", "Running") for pod in self._pods(run_id)):
                break
            self.sleep(_POLL_S)
        for end in self.ends:
            end(run_id)

    def _pods(self, run_id: str) -> list[dict[str, Any]]:
        return self.cluster.list(POD, labels=f"{RUN_LABEL}={run_id}")

    def _of_jobs(self, run_id: str) -> list[JobFinding]:
        return [one for read in self.findings for one in read(run_id)]

    def _of_pods(self, run_id: str, nodes: Iterable[WorkflowNode]) -> dict[str, Blocker]:
        by_node = {
            pod["metadata"].get("annotations", {}).get(NODE_NAME, ""): pod
            for pod in self._pods(run_id)
        }
        found = {}
        for node in nodes:
            pod = by_node.get(node.executor or node.driver)
            if pod is None or node.task.state.good:
                continue
            if finding := blocked(pod):
                found[node.task.path] = _of_pod(finding, pod)
        return found


def _only(nodes: Iterable[WorkflowNode], *, unless: str) -> WorkflowNode | None:
    """The one step that a job can be of, where the job does not say which (``unless`` it does)."""
    found = list(nodes)
    return found[0] if len(found) == 1 and not unless else None


def _of_job(said: JobFinding, known: Blocker | None) -> Blocker:
    """``known``: that the step's own pod has failed, and with which exit code."""
    return Blocker(
        str(said.reason),
        said.message,
        lasting=said.lasting,
        pod=said.pod,
        exit_code=known.exit_code if known else None,
        fix=said.fix,
        of_job=True,
    )


def _of_pod(finding: PodFinding, pod: Mapping[str, Any]) -> Blocker:
    fix = _FIXES.get(finding.reason, "")
    metadata = pod["metadata"]
    return Blocker(
        str(finding.reason),
        finding.message,
        lasting=finding.reason in LASTING,
        pod=finding.pod,
        container=finding.container,
        exit_code=finding.exit_code,
        fix=fix.format(namespace=metadata.get("namespace", "default"), pod=finding.pod),
    )
