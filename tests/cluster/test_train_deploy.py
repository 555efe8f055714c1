"""The main job on a cluster: from data to Production, with one approval.

Katib searches, KubeRay fits, the Gateway carries the canary; MLflow, PostgreSQL, S3 and Redis are
pods of the test. Runs go to the KFP of PLATFORM_TEST_KFP_URL, and where there is none to a fake
whose steps are pods. Takes about fifteen minutes on a node with two cores.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_ctl.cluster.api import Cluster, ResourceKind, connect
from platform_ctl.runs.kubernetes.records import ir_of
from tests.fakes import kfp_pods
from tests.support import cluster_state
from tests.support.cluster import (
    KFP_URL,
    KUBECONFIG,
    NAMESPACE,
    image,
    needs_image,
    own_namespace,
)
from tests.support.kfp_platform import Person, person

ROOT = Path(__file__).parents[2]
COMPILED = ROOT / "pipelines" / "compiled" / "train-deploy.yaml"
KFP_NAMESPACE = "kubeflow"
BUDGET = ("-p", "max_trials=2", "-p", "epochs=3", "-p", "num_workers=1")
SERVICE = "weekly-commits"
NEEDED = (
    ResourceKind("kubeflow.org/v1beta1", "Experiment", "experiments"),
    ResourceKind("ray.io/v1", "RayJob", "rayjobs"),
    ResourceKind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes"),
)
MADE = (
    NEEDED[2],
    ResourceKind("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices"),
    ResourceKind("apps/v1", "Deployment", "deployments"),
    ResourceKind("v1", "Service", "services"),
    ResourceKind("platform.abukix.dev/v1alpha1", "Approval", "approvals"),
    ResourceKind("platform.abukix.dev/v1alpha1", "Release", "releases"),
)
"""What a promotion leaves; those of the service of this test are removed."""
pytestmark = needs_image


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A connection to the namespace in which KFP makes the pods of runs."""
    if KFP_URL in os.environ:
        yield from _beside_kfp()
    else:
        with own_namespace("kfp") as made:
            _skip_without_components(made)
            kfp_pods.start(made)
            yield made


def _beside_kfp() -> Iterator[Cluster]:
    found = connect(kubeconfig=os.environ[KUBECONFIG], namespace=KFP_NAMESPACE)
    _skip_without_components(found)
    if found.get(NEEDED[2], SERVICE) is not None:
        pytest.skip(f"{KFP_NAMESPACE} serves a {SERVICE} already, which this test would replace")
    labels = {"katib.kubeflow.org/metrics-collector-injection": "enabled"}
    found.patch(NAMESPACE, KFP_NAMESPACE, {"metadata": {"labels": labels}})
    yield found
    for kind in MADE:
        for made in found.list(kind) if found.kind(kind.group_version, kind.kind) else ():
            if SERVICE in made["metadata"]["name"] or made["spec"].get("model") == SERVICE:
                found.delete(kind, made["metadata"]["name"])


def _skip_without_components(cluster: Cluster) -> None:
    missing = [k.kind for k in NEEDED if cluster.kind(k.group_version, k.kind) is None]
    if missing:
        pytest.skip(f"the cluster has no {', '.join(missing)}")


@pytest.fixture(scope="module")
def somebody(cluster: Cluster) -> Iterator[Person]:
    with own_namespace("state") as state:
        cluster_state.start(state)
        with person(cluster, f"e2e-{uuid.uuid4().hex[:6]}", state.namespace) as made:
            yield made


@pytest.fixture(scope="module")
def trained(cluster: Cluster, somebody: Person) -> Iterator[dict[str, Any]]:
    """The run of train-deploy, as ``run show`` prints it."""
    made = []
    for words in (("ingest", "-p", "source=sample"), ("train-deploy", *BUDGET)):
        done = somebody("pipeline", "run", *words)
        assert done.code == 0, done.text[-3000:]
        made += re.findall(r"^run (\S{36}) SUCCEEDED", done.text, re.MULTILINE)
    yield somebody("run", "show", made[-1], "-o", "json").document
    for run_id in made:
        cluster.call("DELETE", _run_path(cluster, run_id))


def _run_path(cluster: Cluster, run_id: str) -> str:
    """Of KFP's API, through the API server of the cluster."""
    server = f"/api/v1/namespaces/{cluster.namespace}/services/ml-pipeline:8888/proxy"
    return f"{server}/apis/v2beta1/runs/{run_id}"


def test_the_gate_lets_the_model_pass_and_somebody_is_asked(trained: dict[str, Any]) -> None:
    verdicts = {v["task"]: v["verdict"] for v in trained["verdicts"]}
    assert verdicts["gate"] == "successful", verdicts
    assert {t["path"]: t["state"] for t in trained["tasks"]}["train"] == "SUCCEEDED"


def test_each_step_says_what_it_has_spent(trained: dict[str, Any]) -> None:
    """Its time is that of its pod, whoever runs it; its CPU and memory only the step knows."""
    executed = [t for t in trained["tasks"] if t["state"] == "SUCCEEDED"]
    silent = [t["path"] for t in executed if not t["usage"]["peak_memory_bytes"]]
    assert len(executed) >= 8 and not silent


def test_the_cluster_ran_the_committed_pipeline(trained: dict[str, Any], cluster: Cluster) -> None:
    """But for the image of the steps and where they find their settings."""
    committed = next(yaml.safe_load_all(COMPILED.read_text(encoding="utf-8")))
    submitted = next(iter(ir_of(cluster.read(_run_path(cluster, trained["id"])) or {})))
    executors = submitted["deploymentSpec"]["executors"].values()
    assert {e["container"]["image"] for e in executors} == {image()}
    for document in (committed, submitted):
        for executor in document["deploymentSpec"]["executors"].values():
            executor["container"].pop("image")
    assert submitted == committed


def test_an_approval_brings_it_to_production(trained: dict[str, Any], somebody: Person) -> None:
    (asked,) = somebody("approval", "list", "-o", "json").document
    done = somebody("approval", "approve", asked["id"], "--reason", "better", "--wait")
    assert done.code == 0, done.text[-3000:]
    models = somebody("model", "list", "-o", "json").document
    assert {m["name"]: m["aliases"].get("production") for m in models}[SERVICE] == "1"
    predicted = somebody("model", "predict", f"{SERVICE}@production")
    assert predicted.code == 0, predicted.text[-2000:]
    released = somebody("release", "show", SERVICE)
    assert released.code == 0 and "promoted" in released.text, released.text[-2000:]
