"""A step's pod for tests: the kubernetes targets of training and tuning, used from inside.

Test process: ``in_cluster(prefix)`` gives a namespace with an object store and an
account, ``Driver.call`` runs one request in a pod and reads its log. Pod: ``python -m
tests.support.in_cluster`` reads the request from its environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from platform_ctl.cluster.api import POD, Cluster
from platform_ctl.cluster.outage import through_outage
from platform_ctl.errors import PlatformError, from_dict
from platform_ctl.recipe.recipe import Budget
from tests.support.cluster import image, own_namespace

REQUEST, ANSWER = "TEST_REQUEST", "answer "
KEYS = {"AWS_ACCESS_KEY_ID": "platform", "AWS_SECRET_ACCESS_KEY": "platform-secret"}
WAIT_S = 900.0


@dataclass(frozen=True)
class Answer:
    """``value`` is what the request returned, ``files`` what lies in its output folder."""

    value: Any
    files: dict[str, str]
    log: list[str]


@dataclass(frozen=True)
class Driver:
    """Runs requests in pods of one namespace."""

    cluster: Cluster

    def call(self, what: str, **request: Any) -> Answer:
        """Run it to its end. Raises the error that it ended with."""
        name = f"step-{uuid.uuid4().hex[:8]}"
        container = {
            "name": "main",
            "image": image(),
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-m", "tests.support.in_cluster"],
            "env": [{"name": REQUEST, "value": json.dumps({"what": what, **request})}],
            "envFrom": [
                {"configMapRef": {"name": "platform-settings"}},
                {"secretRef": {"name": "platform-secrets"}},
            ],
            "resources": {"requests": {"cpu": "50m", "memory": "200Mi"}},
        }
        spec = {"restartPolicy": "Never", "containers": [container]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        through_outage(lambda: self.cluster.create(pod))
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            found = through_outage(lambda: self.cluster.get(POD, name)) or {}
            if found.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                break
            time.sleep(1.0)
        return _answer(self.cluster.log(name) or b"")


def _answer(log: bytes) -> Answer:
    lines = log.decode(errors="replace").splitlines()
    said = [line.removeprefix(ANSWER) for line in lines if line.startswith(ANSWER)]
    assert said, "\n".join(lines[-40:])
    answer = json.loads(said[-1])
    if "error" in answer:
        raise from_dict(answer["error"])
    return Answer(answer["value"], answer["files"], lines)


@contextlib.contextmanager
def in_cluster(prefix: str) -> Iterator[Driver]:
    """A namespace with everything that a step's pod needs; gone afterwards."""
    with own_namespace(prefix) as cluster:
        for manifest in _manifests(cluster.namespace):
            cluster.apply(manifest)
        yield Driver(cluster)


def _manifests(namespace: str) -> list[dict[str, Any]]:
    def made(version: str, kind: str, name: str, **rest: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": namespace}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}

    rbac = "rbac.authorization.k8s.io"
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    identity = {
        "name": "platform",
        "credentials": [
            {"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
        ],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    settings = {
        "AWS_ENDPOINT_URL": "http://store:8333",
        "AWS_REGION": "us-east-1",
        "PLATFORM_HOME": "/tmp/home",
        "TEST_NAMESPACE": namespace,
        "TEST_IMAGE": image(),
    }
    account = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    role = {"apiGroup": rbac, "kind": "Role", "name": "step"}
    port = {"port": 8333, "targetPort": 8333}
    return [
        made("v1", "ConfigMap", "platform-settings", data=settings),
        made("v1", "Secret", "platform-secrets", stringData=KEYS),
        made("v1", "ConfigMap", "store", data={"s3.json": json.dumps({"identities": [identity]})}),
        made(f"{rbac}/v1", "Role", "step", rules=[everything]),
        made(f"{rbac}/v1", "RoleBinding", "step", roleRef=role, subjects=[account]),
        made("v1", "Service", "store", spec={"selector": {"app": "store"}, "ports": [port]}),
        _store_pod(namespace),
    ]


def _store_pod(namespace: str) -> dict[str, Any]:
    words = ["-dir=/data", "-ip=127.0.0.1", "-ip.bind=0.0.0.0", "-s3", "-s3.port=8333"]
    words += ["-s3.config=/etc/store/s3.json", "-volume.max=20", "-master.volumeSizeLimitMB=64"]
    words += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    container = {
        "name": "weed",
        "image": image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["weed", "server", *words],
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "config", "mountPath": "/etc/store"},
        ],
        "resources": {"requests": {"cpu": "50m", "memory": "200Mi"}},
    }
    volumes = [
        {"name": "data", "emptyDir": {}},
        {"name": "config", "configMap": {"name": "store"}},
    ]
    metadata = {"name": "store", "namespace": namespace, "labels": {"app": "store"}}
    spec = {"containers": [container], "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


# ---- in the pod ---------------------------------------------------------------------


def main() -> int:
    request = json.loads(os.environ[REQUEST])
    folder = Path(tempfile.mkdtemp())
    _wait_for_store()
    try:
        run = {"train": _train, "tune": _tune}[request["what"]]
        value = run(request, folder)
    except PlatformError as exc:
        answer = {"error": exc.as_dict()}
    else:
        made = [p for p in (folder / "out").rglob("*") if p.is_file()]
        files = {p.relative_to(folder / "out").as_posix(): p.read_text() for p in made}
        answer = {"value": value, "files": files}
    sys.stdout.write(ANSWER + json.dumps(answer) + "\n")
    return 0


def _train(request: dict[str, Any], folder: Path) -> Any:
    from platform_ctl.cluster.owner import own_pod
    from platform_ctl.progress import line
    from platform_ctl.settings import TrainingSettings
    from platform_ctl.training.kubernetes.training import KubernetesTraining
    from platform_ctl.training.port import TrainingJob

    job = msgspec.convert(request["job"], TrainingJob)
    inputs = {}
    for name, content in request["files"].items():
        (folder / name).write_text(content)
        inputs[name] = str(folder / name)
    cluster, store, kubernetes = _target()
    settings = TrainingSettings(head_cpus=0.1, **request.get("settings", {}))
    training = KubernetesTraining(cluster, store, settings, kubernetes, own_pod(cluster))
    job = msgspec.structs.replace(job, inputs=inputs, out=str(folder / "out"))
    return training.run(job, on_progress=lambda p: print(line(p), flush=True))


def _tune(request: dict[str, Any], folder: Path) -> Any:
    from platform_ctl.tuning.experiment import parse
    from platform_ctl.tuning.kubernetes.tuning import KubernetesTuner

    cluster, store, kubernetes = _target()
    tuner = KubernetesTuner(cluster, lambda: store, kubernetes)
    budget = msgspec.convert(request.get("budget", {}), Budget)
    tuner.run(
        parse(request["experiment"]),
        search=request["search"],
        trial=request["trial"],
        budget=budget,
        seed=0,
    )
    record = tuner.read(request["search"])
    return {
        "status": record.status.to_json(),
        "trials": msgspec.to_builtins(list(record.trials)),
    }


def _target() -> Any:
    from platform_ctl.cluster.api import connect
    from platform_ctl.cluster.store import RemoteStore
    from platform_ctl.settings import KubernetesSettings

    namespace = os.environ["TEST_NAMESPACE"]
    kubernetes = KubernetesSettings(namespace=namespace, image=os.environ["TEST_IMAGE"])
    return connect(namespace=namespace), RemoteStore("s3://platform/artifacts"), kubernetes


def _wait_for_store() -> None:
    """Until the bucket is there: the store's pod may be younger than this one."""
    import s3fs
    from botocore.exceptions import BotoCoreError, ClientError

    end = time.monotonic() + 120
    while True:
        try:
            store = s3fs.S3FileSystem(skip_instance_cache=True)
            if not store.exists("platform"):
                store.mkdir("platform")
            store.pipe("platform/ready", b"1")
            return
        except (OSError, BotoCoreError, ClientError):
            if time.monotonic() > end:
                raise
            time.sleep(1.0)


if __name__ == "__main__":
    sys.exit(main())
