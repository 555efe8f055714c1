"""Runs of a fake KFP API server whose steps are pods of the cluster.

``start`` brings the server up as a pod of a namespace, ``python -m tests.fakes.kfp_pods`` is that
pod. Of a step it makes what Argo and KFP's driver make together (2.17.0): one pod with the labels
and the annotation by which the platform finds it, the environment of kfp-kubernetes, and KFP's
executor input. In the pod ``tests.support.kfp_launcher`` stands for KFP's launcher.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

from platform_ctl.cluster.api import CONFIG_MAP, POD, SERVICE, Cluster, connect
from platform_ctl.cluster.outage import through_outage
from platform_ctl.cluster.owner import NODE_NAME, RUN_LABEL
from platform_ctl.cluster.pods import phase
from tests.fakes.kfp_runs import (
    EXECUTOR_OUTPUT,
    FakeRun,
    Json,
    Leaf,
    Runs,
    Step,
    kubernetes_executor,
    node_id,
)
from tests.fakes.kfp_server import Request, serve
from tests.support.cluster import image
from tests.support.waiting import eventually

ROOT = "s3://platform/v2/artifacts"
"""Where steps put their artifacts."""
PORT = 8888
NAME = "ml-pipeline"
ACCOUNT = "pipeline-runner"
RUNNER_ROLE = {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}
"""Of what KFP gives pipeline-runner, that which steps of the platform use."""
SCRATCH = {"artifacts": "/s3", "scratch": "/tmp"}
"""Folders that a step writes in, whoever it runs as."""
_POLL_S = 0.5


class PodRuns(Runs):
    """Executes the steps of a run one after another, in a thread of the run's own."""

    def __init__(self, cluster: Cluster, *, root: str = ROOT, account: str = ACCOUNT) -> None:
        super().__init__(endless=())
        self._cluster, self._root, self._account = cluster, root, account
        self._threads: list[threading.Thread] = []

    def stop(self) -> None:
        """Ends what still runs, before its namespace goes."""
        for run in list(self.kept.values()):
            self._end(run)
        for thread in self._threads:
            thread.join()

    def terminate(self, request: Request) -> Json:
        answer = super().terminate(request)
        self._end_pods(request.params["run_id"])
        return answer

    def delete(self, request: Request) -> Json:
        """Everything that its steps made belongs to what is deleted here."""
        run = self._known(request)
        self._end(run)
        self._cluster.delete(CONFIG_MAP, run.workflow)
        return super().delete(request)

    def live_log(self, request: Request) -> Json | bytes:
        """As the real one, of a pod that runs; what has ended is read as archived."""
        for pod in self._pods(request.params["run_id"]):
            if pod["metadata"]["name"] == request.params["node"] and phase(pod) == "Running":
                return self._cluster.log(request.params["node"]) or b""
        return super().live_log(request)

    def _execute(self, run: FakeRun) -> None:
        run.live, run.state = True, "FAILED"
        self._threads.append(threading.Thread(target=self._work, args=(run,), daemon=True))
        self._threads[-1].start()

    def _work(self, run: FakeRun) -> None:
        try:
            through_outage(lambda: self._cluster.apply(_owner(run)))
            super()._execute(run)
        finally:
            run.end_s, run.live = self._clock(), False

    def _perform(self, run: FakeRun, step: Step, leaf: Leaf) -> tuple[bool, Json]:
        if run.terminated_s is not None:
            return False, {}
        step.begin_s, step.end_s = self._clock(), float("inf")
        name = node_id(run.workflow, f"{step.node}(0).executor(0)")
        pod = self._pod(run, step, leaf, name)
        through_outage(lambda: self._cluster.create(pod))
        if run.terminated_s is not None:
            self._end_pods(run.said["run_id"])
        good = self._wait(name)
        log = through_outage(lambda: self._cluster.log(name)) or b""
        step.log = log.decode(errors="replace")
        step.state = "SUCCEEDED" if good else "FAILED"
        step.end_s = run.end_s = self._clock()
        return good, _put_out(step.log) if good else {}

    def _wait(self, name: str) -> bool:
        """Whether the pod ended well. One that somebody removed did not."""
        while True:
            pod = through_outage(lambda: self._cluster.get(POD, name))
            if pod is None or phase(pod) in ("Succeeded", "Failed"):
                return pod is not None and phase(pod) == "Succeeded"
            time.sleep(_POLL_S)

    def _pods(self, run_id: str) -> list[dict[str, Any]]:
        return self._cluster.list(POD, labels=f"{RUN_LABEL}={run_id}")

    def _end(self, run: FakeRun) -> None:
        if run.live and run.terminated_s is None:
            run.terminated_s = self._clock()
            self._end_pods(run.said["run_id"])

    def _end_pods(self, run_id: str) -> None:
        for pod in self._pods(run_id):
            if phase(pod) in ("Pending", "Running"):
                self._cluster.delete(POD, pod["metadata"]["name"])

    # ---- one step ---------------------------------------------------------

    def _pod(self, run: FakeRun, step: Step, leaf: Leaf, name: str) -> Json:
        run_id = run.said["run_id"]
        task = step.node.rpartition(".")[2]
        container = leaf.container
        words = [*container["command"], *container.get("args", [])]
        environment = [
            {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "KFP_EXECUTOR_INPUT", "value": json.dumps(self._input(run, task, leaf))},
            *_environment(kubernetes_executor(run.said, leaf.label)),
            *({"name": e["name"], "value": e["value"]} for e in container.get("env", [])),
        ]
        main = {
            "name": "main",
            "image": container["image"],
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-m", "tests.support.kfp_launcher", *words],
            "env": environment,
            "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}},
            "volumeMounts": [{"name": n, "mountPath": path} for n, path in SCRATCH.items()],
        }
        metadata = {
            "name": name,
            "namespace": self._cluster.namespace,
            "labels": {RUN_LABEL: run_id},
            "annotations": {NODE_NAME: f"{step.node}(0).executor(0)"},
            "ownerReferences": [self._owner_reference(run)],
        }
        spec = {
            "restartPolicy": "Never",
            "serviceAccountName": run.said.get("service_account") or self._account,
            "enableServiceLinks": False,
            "securityContext": {"fsGroup": 1000},
            "containers": [main],
            "volumes": [{"name": name, "emptyDir": {}} for name in SCRATCH],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def _owner_reference(self, run: FakeRun) -> Json:
        owner = self._cluster.get(CONFIG_MAP, run.workflow)
        assert owner is not None, f"the run {run.said['run_id']} was deleted"
        reference = {"apiVersion": "v1", "kind": CONFIG_MAP.kind, "name": run.workflow}
        return {**reference, "uid": owner["metadata"]["uid"]}

    def _input(self, run: FakeRun, task: str, leaf: Leaf) -> Json:
        """KFP's ExecutorInput (``pipeline_spec.proto``) of a step."""
        known = {
            "{{$.pipeline_job_name}}": run.said["display_name"],
            "{{$.pipeline_job_resource_name}}": run.workflow,
            "{{$.pipeline_job_uuid}}": run.said["run_id"],
            "{{$.pipeline_task_name}}": task,
            "{{$.pipeline_task_uuid}}": str(uuid.uuid4()),
        }
        values = {
            name: known.get(value, value) if isinstance(value, str) else value
            for name, value in leaf.inputs["parameters"].items()
        }
        folder = f"{self._root}/{run.workflow}/{run.said['run_id']}/{task}/{uuid.uuid4()}"
        declared = leaf.component.get("outputDefinitions", {})
        return {
            "inputs": {"parameterValues": values, "artifacts": leaf.inputs["artifacts"]},
            "outputs": {
                "parameters": {
                    name: {"outputFile": f"/tmp/kfp/outputs/{name}"}
                    for name in declared.get("parameters", {})
                },
                "artifacts": {
                    name: {
                        "artifacts": [
                            {
                                "name": name,
                                "type": spec["artifactType"],
                                "uri": f"{folder}/{name}",
                                "metadata": {},
                            }
                        ]
                    }
                    for name, spec in declared.get("artifacts", {}).items()
                },
                "outputFile": "/tmp/kfp_outputs/output_metadata.json",
            },
        }


def _owner(run: FakeRun) -> Json:
    """Stands for Argo's Workflow: what the run's pods make goes when it goes."""
    metadata = {"name": run.workflow, "labels": {RUN_LABEL: run.said["run_id"]}}
    return {"apiVersion": "v1", "kind": CONFIG_MAP.kind, "metadata": metadata}


def _environment(executor: Mapping[str, Any]) -> list[Json]:
    """What kfp-kubernetes adds to a step (``kubernetes_executor_config.proto``)."""
    found = []
    for source in executor.get("configMapAsEnv", []):
        found += _keys(source, "configMap", "configMapKeyRef", source["configMapName"])
    for source in executor.get("secretAsEnv", []):
        found += _keys(source, "secret", "secretKeyRef", source["secretName"])
    return found


def _keys(source: Json, kind: str, reference: str, name: str) -> list[Json]:
    return [
        {
            "name": pair["envVar"],
            "valueFrom": {
                reference: {
                    "name": name,
                    "key": pair[f"{kind}Key"],
                    "optional": bool(source.get("optional")),
                }
            },
        }
        for pair in source.get("keyToEnv", [])
    ]


def _put_out(log: str) -> Json:
    """What the launcher wrote last; nothing where a step ended without it."""
    _, found, rest = log.rpartition(EXECUTOR_OUTPUT)
    return json.JSONDecoder().raw_decode(rest)[0] if found else {}


# ---- the server as a pod ------------------------------------------------------------


def start(cluster: Cluster) -> str:
    """Bring the server up in the namespace of ``cluster``; returns its address for pods there."""
    for manifest in _manifests(cluster.namespace):
        cluster.apply(manifest)
    eventually(lambda: _is_ready(cluster), seconds=120)
    return f"http://{NAME}.{cluster.namespace}:{PORT}"


def _is_ready(cluster: Cluster) -> bool:
    conditions = (cluster.get(POD, NAME) or {}).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _manifests(namespace: str) -> list[Json]:
    def made(version: str, kind: str, name: str, **rest: Any) -> Json:
        metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}

    rbac = "rbac.authorization.k8s.io"
    server_role = {
        "apiGroups": [""],
        "resources": ["pods", "pods/log", "configmaps"],
        "verbs": ["get", "list", "create", "patch", "delete"],
    }
    roles = {ACCOUNT: RUNNER_ROLE, NAME: server_role}
    bound = [
        made(
            f"{rbac}/v1",
            "RoleBinding",
            f"kfp-{name}",
            roleRef={"apiGroup": rbac, "kind": "Role", "name": f"kfp-{name}"},
            subjects=[{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        )
        for name in roles
    ]
    container = {
        "name": "server",
        "image": image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "tests.fakes.kfp_pods", namespace],
        "env": [{"name": "PLATFORM_TEST_IMAGE", "value": image()}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
    }
    spec = {"serviceAccountName": NAME, "enableServiceLinks": False, "containers": [container]}
    ports = [{"port": PORT, "targetPort": PORT}]
    return [
        *(made("v1", "ServiceAccount", name) for name in roles),
        *(made(f"{rbac}/v1", "Role", f"kfp-{n}", rules=[r]) for n, r in roles.items()),
        *bound,
        made("v1", SERVICE.kind, NAME, spec={"selector": {"app": NAME}, "ports": ports}),
        made("v1", POD.kind, NAME, spec=spec),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("namespace")
    runs = PodRuns(connect(namespace=parser.parse_args().namespace))
    with serve(runs, address=("0.0.0.0", PORT)):
        threading.Event().wait()


if __name__ == "__main__":
    main()
