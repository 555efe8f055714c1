"""What the steps of a run have on the cluster: their pods, and the jobs that they made.

A reason is a word of the API, from the typed fields of a status; ``Blocker.lasting`` says whether
no waiting ends it. Jobs are what a step waits for: a RayJob, a Katib Experiment. Each kind of job
explains and removes its own (``training.kubernetes``, ``tuning.kubernetes``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from platform_ctl.cluster.api import POD, Cluster, ResourceKind
from platform_ctl.cluster.owner import NODE_NAME, RUN_LABEL
from platform_ctl.cluster.pods import LASTING, Blocked, PodFinding, blocked, phase
from platform_ctl.cluster.refusals import refused_pods
from platform_ctl.runs.kubernetes.nodes import WorkflowNode
from platform_ctl.runs.record import Blocker

WORKFLOW = ResourceKind("argoproj.io/v1alpha1", "Workflow", "workflows")
READERS = 4
"""Lists of the API server that are asked for at the same time."""
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

    def refusal(self, run_id: str) -> str:
        """Why no pod of a run could be made, whoever's; empty where that is not what ended it."""
        ...

    def stop(self, run_id: str) -> None:
        """Remove the jobs of a run that is being ended, when none of its steps can make another."""
        ...


@dataclass(frozen=True)
class NoWorkloads:
    """A caller without a connection to the cluster itself."""

    def blockers(self, run_id: str, nodes: Sequence[WorkflowNode]) -> Mapping[str, Blocker]:
        return {}

    def refusal(self, run_id: str) -> str:
        return ""

    def stop(self, run_id: str) -> None:
        """Nothing."""


@dataclass
class DeferredWorkloads:
    """Those of a connection that is made when it is first needed: the client of the API server
    takes longer to import than KFP needs to tell what became of a run that went well."""

    connect: Callable[[], Workloads]

    @cached_property
    def _connected(self) -> Workloads:
        return self.connect()

    def blockers(self, run_id: str, nodes: Sequence[WorkflowNode]) -> Mapping[str, Blocker]:
        return self._connected.blockers(run_id, nodes)

    def refusal(self, run_id: str) -> str:
        return self._connected.refusal(run_id)

    def stop(self, run_id: str) -> None:
        self._connected.stop(run_id)


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
        """Of its own pod, or why it has none; else of a job that it waits for. Pods that are gone
        say nothing."""
        with ThreadPoolExecutor(READERS) as pool:
            job_findings = [pool.submit(read, run_id) for read in self.findings]
            pods = {_node_of(pod): pod for pod in self._pods(run_id)}
            by_task = self._of_pods(pods, nodes)
            by_task |= self._of_refused(run_id, [n for n in nodes if _pod_node(n) not in pods])
            of_jobs = [one for some in job_findings for one in some.result()]
        by_node = {n.executor: n for n in nodes if n.executor and not n.task.state.good}
        for one in sorted(of_jobs, key=lambda f: not f.lasting):
            node = by_node.get(one.step) or _only(by_node.values(), unless=one.step)
            if node is None:
                continue
            known = by_task.get(node.task.path)
            if known is None or known.reason == Blocked.FAILED:
                by_task[node.task.path] = _of_job(one, known)
        return by_task

    def refusal(self, run_id: str) -> str:
        """Of a driver as well: its task may not have been come to, and is then in no list."""
        for workflow in self._workflows(run_id):
            for node in workflow.get("status", {}).get("nodes", {}).values():
                if node["type"] == "Pod" and node["phase"] == "Error" and node.get("message"):
                    why = refused_pods(self.cluster, node["message"], _labels(workflow, node))
                    return f"{why.reason}: {why.message}"
        return ""

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

    def _workflows(self, run_id: str) -> list[dict[str, Any]]:
        """One, or none: Argo's record of a run goes an hour after its end."""
        return self.cluster.list(WORKFLOW, labels=f"{RUN_LABEL}={run_id}")

    def _of_refused(self, run_id: str, nodes: Sequence[WorkflowNode]) -> dict[str, Blocker]:
        """Of steps for which Argo could make no pod. Its Workflow is there for an hour after the
        run; a node that waits or is in error, and has a message, was refused."""
        wanted = {
            _pod_node(n): n.task.path for n in nodes if _pod_node(n) and not n.task.state.good
        }
        by_task = {}
        for workflow in self._workflows(run_id) if wanted else ():
            for node in workflow.get("status", {}).get("nodes", {}).values():
                path = wanted.get(node["name"])
                if path and node.get("message") and node["phase"] in ("Pending", "Error"):
                    why = refused_pods(self.cluster, node["message"], _labels(workflow, node))
                    by_task[path] = Blocker(why.reason, why.message, lasting=True, fix=why.fix)
        return by_task

    def _of_pods(
        self, pods: Mapping[str, Any], nodes: Iterable[WorkflowNode]
    ) -> dict[str, Blocker]:
        by_task = {}
        for node in nodes:
            pod = pods.get(_pod_node(node))
            if pod is None or node.task.state.good:
                continue
            if finding := blocked(pod):
                by_task[node.task.path] = _of_pod(finding, pod)
        return by_task


def _pod_node(node: WorkflowNode) -> str:
    """Of the newest pod that works for a task; empty before there was one."""
    return node.executor or node.driver


def _node_of(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"].get("annotations", {}).get(NODE_NAME, ""))


def _labels(workflow: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, str]:
    """Those of the pod that Argo tried to make: of its template, with the node's inputs in it."""
    templates = {t["name"]: t for t in workflow["spec"].get("templates", [])}
    labels = templates.get(node.get("templateName", ""), {}).get("metadata", {}).get("labels", {})
    values = {
        f"{{{{inputs.parameters.{p['name']}}}}}": str(p.get("value", ""))
        for p in node.get("inputs", {}).get("parameters", [])
    }
    return {values.get(k, k): values.get(v, v) for k, v in labels.items()}


def _only(nodes: Iterable[WorkflowNode], *, unless: str) -> WorkflowNode | None:
    """The one step that a job can be of, where the job does not say which (``unless`` it does)."""
    candidates = list(nodes)
    return candidates[0] if len(candidates) == 1 and not unless else None


def _of_job(finding: JobFinding, known: Blocker | None) -> Blocker:
    """``known``: that the step's own pod has failed, and with which exit code."""
    return Blocker(
        str(finding.reason),
        finding.message,
        lasting=finding.lasting,
        pod=finding.pod,
        exit_code=known.exit_code if known else None,
        fix=finding.fix,
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
