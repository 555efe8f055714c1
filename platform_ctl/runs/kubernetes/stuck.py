"""Why tasks of a run do not proceed, from the pods that Argo made for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from platform_ctl.cluster.api import POD, Cluster
from platform_ctl.cluster.pods import Blocked, PodFinding, blocked
from platform_ctl.runs.kubernetes.nodes import WorkflowNode
from platform_ctl.runs.record import Blocker

RUN_LABEL = "pipeline/runid"
NODE_NAME = "workflows.argoproj.io/node-name"
LASTING = frozenset({Blocked.UNSCHEDULABLE, Blocked.IMAGE, Blocked.CONFIG, Blocked.CRASH_LOOP})
"""What no waiting ends: somebody has to change the cluster or the run."""
_FIXES = {
    Blocked.UNSCHEDULABLE: "kubectl -n {namespace} describe pod {pod}",
    Blocked.IMAGE: "kubectl -n {namespace} describe pod {pod}",
    Blocked.CONFIG: "kubectl -n {namespace} describe pod {pod}",
    Blocked.CRASH_LOOP: "kubectl -n {namespace} logs {pod} -c main --previous",
    Blocked.OUT_OF_MEMORY: "kubectl -n {namespace} describe pod {pod}",
    Blocked.EVICTED: "kubectl -n {namespace} describe pod {pod}",
}


@dataclass(frozen=True)
class PodReader:
    """Pods of runs in the namespace of a connection."""

    cluster: Cluster

    def blockers(self, run_id: str, nodes: Iterable[WorkflowNode]) -> dict[str, Blocker]:
        """Task path -> why it does not proceed, or why it ended; pods that are gone say nothing."""
        by_node = {
            pod["metadata"].get("annotations", {}).get(NODE_NAME, ""): pod
            for pod in self.cluster.list(POD, labels=f"{RUN_LABEL}={run_id}")
        }
        found = {}
        for node in nodes:
            pod = by_node.get(node.executor or node.driver)
            if pod is None or node.task.state.good:
                continue
            if finding := blocked(pod):
                found[node.task.path] = _blocker(finding, pod)
        return found


def _blocker(finding: PodFinding, pod: Mapping[str, Any]) -> Blocker:
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
