"""Six steps in a chain through KFP and as a plain Argo Workflow, on one cluster, in one run.

``python -m benchmarks.kfp_and_argo`` with PLATFORM_TEST_KUBECONFIG, PLATFORM_TEST_KFP_URL and
PLATFORM_TEST_IMAGE (an image of this checkout), on a cluster with KFP. The steps hand a number on
and do nothing else; both run in the same image, under the same Argo controller, alternately. Each
figure is the best of ``--repeat``. *Again* is a second run that KFP's cache answers. Argo memoizes
under a key that the workflow's author writes, into ConfigMaps, which the Argo that KFP installs has
no right to make: it is left out.
"""

# KFP's compiler reads annotations as types: no ``from __future__ import annotations`` here.
import argparse
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from platform_ctl.cluster.api import POD, Cluster, ResourceKind, connect
from platform_ctl.cluster.kfp import connect as connect_kfp
from platform_ctl.cluster.owner import RUN_LABEL
from platform_ctl.runs.kubernetes.api import RunsApi
from platform_ctl.runs.kubernetes.runs import KfpRuns
from platform_ctl.runs.record import RunRequest

NEEDED = ("PLATFORM_TEST_KUBECONFIG", "PLATFORM_TEST_KFP_URL", "PLATFORM_TEST_IMAGE")
NAMESPACE = "kubeflow"
ACCOUNT = "pipeline-runner"
STEPS = 6
WORKFLOW = ResourceKind("argoproj.io/v1alpha1", "Workflow", "workflows")
WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
WAIT_S = 600.0
STEP = "import sys; print(int(sys.argv[1]) + 1, file=open('/tmp/out', 'w'))"


@dataclass(frozen=True)
class Cost:
    wall_s: float
    """From the creation of the workflow to its end, as Argo's controller recorded it."""
    pods: int
    pod_s: float
    """Seconds in which a container of a pod ran, of all pods."""
    object_kb: float
    """Size of the Workflow in the API server."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.kfp_and_argo", description=__doc__)
    parser.add_argument("--repeat", type=int, default=2)
    repeat = parser.parse_args().repeat
    if missing := [name for name in NEEDED if not os.environ.get(name)]:
        print(f"skipped: {', '.join(missing)} not set")
        return 0
    cluster = connect(kubeconfig=os.environ[NEEDED[0]], namespace=NAMESPACE)
    kfp = KfpRuns(RunsApi(connect_kfp(os.environ[NEEDED[1]], namespace=NAMESPACE, token="")))
    image = os.environ[NEEDED[2]]
    costs: dict[str, list[Cost]] = {}
    made: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        file = _compiled(Path(folder), image)
        for _ in range(repeat):
            seed = uuid.uuid4().int % 10**6
            costs.setdefault("Argo", []).append(_argo(cluster, image, seed))
            for name in ("KFP", "KFP again"):
                run, cost = _kfp(cluster, kfp, file, seed)
                costs.setdefault(name, []).append(cost)
                made.append(run)
    for run in made:  # not before: a cache need not answer for a run that was deleted
        kfp.api.delete(run)
    found = {name: min(each, key=lambda c: c.wall_s) for name, each in costs.items()}
    print(f"{'':<12}{'wall s':>8}{'pods':>6}{'pod s':>8}{'Workflow kB':>13}")
    for name, cost in found.items():
        row = f"{cost.wall_s:>8.0f}{cost.pods:>6}{cost.pod_s:>8.0f}{cost.object_kb:>13.0f}"
        print(f"{name:<12}{row}")
    ratio = found["KFP"].wall_s / found["Argo"].wall_s
    again = found["KFP again"].wall_s / found["Argo"].wall_s
    print(f"KFP takes {ratio:.1f} times as long as plain Argo, from its cache {again:.1f} times")
    return 0


def _compiled(folder: Path, image: str) -> Path:
    @dsl.component(base_image=image, install_kfp_package=False)
    def add(n: int) -> int:
        return n + 1

    @dsl.pipeline(name="six-steps")
    def six(n: int) -> None:
        value = n
        for _ in range(STEPS):
            value = add(n=value).output

    compiler.Compiler().compile(six, str(folder / "six.yaml"))
    return folder / "six.yaml"


def _kfp(cluster: Cluster, kfp: KfpRuns, file: Path, seed: int) -> tuple[str, Cost]:
    run = kfp.submit(RunRequest(file, parameters={"n": seed}))
    for _ in kfp.watch(run.id):
        pass
    ended = kfp.get(run.id)
    if ended.state != "SUCCEEDED":
        raise SystemExit(f"KFP's run {run.id} ended {ended.state}: {ended.error}")
    (workflow,) = cluster.list(WORKFLOW, labels=f"{RUN_LABEL}={run.id}")
    return run.id, _cost(cluster, workflow)


def _argo(cluster: Cluster, image: str, seed: int) -> Cost:
    name = f"six-steps-{uuid.uuid4().hex[:6]}"
    cluster.create(_workflow(name, image, seed))
    end = time.monotonic() + WAIT_S
    workflow: Mapping[str, Any] = {}
    while workflow.get("status", {}).get("phase") not in ("Succeeded", "Failed", "Error"):
        if time.monotonic() > end:
            raise SystemExit(f"workflow {name} did not end in {WAIT_S:g} s")
        time.sleep(0.5)
        workflow = cluster.get(WORKFLOW, name) or {}
    if workflow["status"]["phase"] != "Succeeded":
        raise SystemExit(f"workflow {name}: {workflow['status'].get('message')}")
    cost = _cost(cluster, workflow)
    cluster.delete(WORKFLOW, name)
    return cost


def _workflow(name: str, image: str, seed: int) -> dict[str, Any]:
    tasks = []
    for number in range(STEPS):
        before = f"{{{{tasks.add-{number - 1}.outputs.parameters.out}}}}"
        task: dict[str, Any] = {
            "name": f"add-{number}",
            "template": "add",
            "arguments": {"parameters": [{"name": "n", "value": before if number else str(seed)}]},
        }
        tasks.append({**task, "dependencies": [f"add-{number - 1}"]} if number else task)
    add = {
        "name": "add",
        "inputs": {"parameters": [{"name": "n"}]},
        "outputs": {"parameters": [{"name": "out", "valueFrom": {"path": "/tmp/out"}}]},
        "container": {
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-c", STEP, "{{inputs.parameters.n}}"],
        },
    }
    spec = {
        "entrypoint": "six",
        "serviceAccountName": ACCOUNT,
        "templates": [{"name": "six", "dag": {"tasks": tasks}}, add],
    }
    metadata = {"name": name, "namespace": NAMESPACE}
    return {
        "apiVersion": WORKFLOW.group_version,
        "kind": WORKFLOW.kind,
        "metadata": metadata,
        "spec": spec,
    }


def _cost(cluster: Cluster, workflow: Mapping[str, Any]) -> Cost:
    name, status = workflow["metadata"]["name"], workflow["status"]
    pods = cluster.list(POD, labels=f"{WORKFLOW_LABEL}={name}")
    nodes = [n for n in status.get("nodes", {}).values() if n["type"] == "Pod"]
    return Cost(
        _seconds(workflow["metadata"]["creationTimestamp"], status["finishedAt"]),
        len(nodes),
        sum(map(_ran_s, pods)),
        len(json.dumps(workflow)) / 1000,
    )


def _ran_s(pod: Mapping[str, Any]) -> float:
    """Of its longest container."""
    ended = [
        status["state"]["terminated"]
        for status in pod.get("status", {}).get("containerStatuses", [])
        if "terminated" in status["state"]
    ]
    return max((_seconds(e["startedAt"], e["finishedAt"]) for e in ended), default=0.0)


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
