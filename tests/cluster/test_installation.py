"""Components from infra/tier6 in a real cluster: installed, checked, continued, removed."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from platform_ctl.cluster.api import DEPLOYMENT, POD, SECRET, Cluster, Object, connect
from platform_ctl.doctor.doctor import Health
from platform_ctl.installation.check import DEFINITION, check_component
from platform_ctl.installation.components import InstallComponent, chosen, read_components
from platform_ctl.installation.install import Installer, InstallOutcome
from platform_ctl.installation.probe import probe_cluster
from platform_ctl.installation.remove import plan_removal, remove
from platform_ctl.installation.rendering import render, with_settings
from platform_ctl.settings import KubernetesSettings
from tests.support.cluster import KUBECONFIG, NAMESPACE, image, images, needs_components
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
SPACES = ("kubeflow", "storage", "mlflow", "monitoring")
OWN = ("storage", "mlflow", "platform", "monitoring")
LEFT_OUT = (
    "CronJob",
    "CustomResourceDefinition",
    "PodMonitor",
    "PrometheusRule",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)
"""What would act on the whole cluster or without end, and kinds that it need not have."""
pytestmark = needs_components


@dataclass(frozen=True)
class Elsewhere:
    """The components in namespaces of this test: a cluster that is in use stays as it is."""

    mark: str

    def moved(self, value: Any) -> Any:
        """A document with the namespaces of this test wherever a value names one."""
        if isinstance(value, dict):
            return {k: v if k == "command" else self.moved(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.moved(item) for item in value]
        if not isinstance(value, str):
            return value
        for name in SPACES:
            if value == name:
                return f"{self.mark}-{name}"
            value = value.replace(f".{name}:", f".{self.mark}-{name}:")
            value = re.sub(rf"^{name}/", f"{self.mark}-{name}/", value)
        return value

    def component(self, component: InstallComponent) -> InstallComponent:
        found = msgspec.convert(self.moved(msgspec.to_builtins(component)), InstallComponent)
        # Without a slash it is the name of a Deployment, which stays: `mlflow` lives in `mlflow`.
        workloads = [self.moved(w) if "/" in w else w for w in component.workloads]
        if component.name == "platform":
            workloads = []
        return msgspec.structs.replace(
            found, name=component.name, workloads=workloads, definitions=[], needs=[]
        )

    def documents(self, component: InstallComponent) -> list[Object]:
        documents = with_settings(
            render(ROOT, component),
            image=image(),
            gateway_class="none",
            gateway="none",
            images=images(),
        )
        # Objects named like their namespace (the Deployment and the Service of MLflow) keep it.
        moved = [self.moved(d) | {"kind": d["kind"]} for d in documents]
        for before, document in zip(documents, moved, strict=True):
            if document["kind"] != "Namespace":
                document["metadata"]["name"] = before["metadata"]["name"]
        return [d for d in moved if d["kind"] not in LEFT_OUT and not _runs_platform(d)]


def _runs_platform(document: Object) -> bool:
    """The controller needs a KFP of its own; it has its own suite."""
    return document["kind"] == "Deployment" and "approval-controller" in str(document["metadata"])


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Cluster, Elsewhere, list[InstallComponent]]]:
    place = Elsewhere(f"t{uuid.uuid4().hex[:6]}")
    components = [place.component(c) for c in chosen(read_components(ROOT), OWN)]
    cluster = connect(kubeconfig=os.environ[KUBECONFIG], namespace=f"{place.mark}-kubeflow")
    cluster.apply(namespace(f"{place.mark}-kubeflow"))
    try:
        yield cluster, place, components
    finally:
        for name in SPACES:
            cluster.delete(NAMESPACE, f"{place.mark}-{name}")


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def installer(
    place: tuple[Cluster, Elsewhere, list[InstallComponent]], lines: list[str]
) -> Installer:
    cluster, elsewhere, _ = place
    return Installer(cluster, elsewhere.documents, lines.append, ready_timeout_s=240)


def test_an_installation_that_is_cut_off_continues_and_then_changes_nothing(
    place: tuple[Cluster, Elsewhere, list[InstallComponent]],
) -> None:
    cluster, _, components = place

    class CutOffError(Exception):
        """Stands for the end of the process."""

    def cut_off(line: str) -> None:
        if "waiting" in line:
            raise CutOffError

    with pytest.raises(CutOffError):
        Installer(cluster, place[1].documents, cut_off).install(components)
    lines: list[str] = []
    first = installer(place, lines).install(components)
    assert {c.outcome for c in first} <= {InstallOutcome.INSTALLED, InstallOutcome.UNCHANGED}, lines
    again = installer(place, lines).install(components)
    assert [(c.component, c.outcome, c.changed) for c in again] == [
        (name, InstallOutcome.UNCHANGED, []) for name in OWN
    ]
    for component in components:
        assert {c.health for c in check_component(cluster, component)} <= {Health.OK}


def test_secrets_are_made_once_and_copied(
    place: tuple[Cluster, Elsewhere, list[InstallComponent]],
) -> None:
    cluster, elsewhere, _ = place
    stores = cluster.get(SECRET, "postgres", f"{elsewhere.mark}-storage")
    copied = cluster.get(SECRET, "platform-secrets", f"{elsewhere.mark}-kubeflow")
    assert stores and copied
    assert copied["data"]["PGPASSWORD"] == stores["data"]["password"]
    assert len(stores["data"]["password"]) > 32


def test_the_exporter_answers_and_reads_the_catalog(
    place: tuple[Cluster, Elsewhere, list[InstallComponent]],
) -> None:
    cluster, _, _ = place
    [pod] = ready_pods(cluster, cluster.namespace, "platform-metrics")
    path = f"{POD.path(cluster.namespace)}/{pod['metadata']['name']}:8080/proxy/metrics"
    words = ["kubectl", "--kubeconfig", os.environ[KUBECONFIG], "get", "--raw", path]
    found = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout
    up = dict(
        re.findall(r'^platform_metrics_source_up\{source="(.+)"\} (\S+)$', found, re.MULTILINE)
    )
    up.pop("runs")  # KFP is no part of this installation
    assert "tables" in up
    assert set(map(float, up.values())) == {1.0}, up


def test_a_pod_reaches_every_store_and_says_which_is_down(
    place: tuple[Cluster, Elsewhere, list[InstallComponent]],
) -> None:
    cluster, elsewhere, components = place
    own = KubernetesSettings(namespace=cluster.namespace, image=image())
    assert [c.health for c in probe_cluster(cluster, own)] == [Health.OK, Health.OK]
    name, spot = "s3", f"{elsewhere.mark}-storage"
    cluster.patch(DEPLOYMENT, name, {"spec": {"replicas": 0}}, namespace=spot)
    eventually(lambda: not ready_pods(cluster, spot, "s3"), seconds=60)
    [found] = [c for c in probe_cluster(cluster, own) if c.health == Health.FAIL]
    assert found.name == "stores from a pod"
    assert f"s3.{spot}:9000" in found.detail
    assert found.fix.startswith(f"kubectl -n {cluster.namespace} edit configmap")
    [change] = installer(place, []).install(components[:1])
    assert change.changed == [f"Deployment/{name}"]


def ready_pods(cluster: Cluster, spot: str, app: str) -> list[Object]:
    found = cluster.list(POD, labels=f"app={app}", namespace=spot)
    return [p for p in found if p["status"].get("phase") == "Running"]


def test_a_dry_run_says_what_would_be_mended_and_changes_nothing(
    place: tuple[Cluster, Elsewhere, list[InstallComponent]],
) -> None:
    cluster, elsewhere, components = place
    name, spot = "redis", f"{elsewhere.mark}-storage"
    cluster.patch(DEPLOYMENT, name, {"spec": {"replicas": 0}}, namespace=spot)
    [planned] = installer(place, []).plan(components[:1])
    assert planned.changed == [f"Deployment/{name}"]
    found = cluster.get(DEPLOYMENT, name, spot)
    assert found and found["spec"]["replicas"] == 0
    checks = check_component(cluster, components[0])
    assert [c.health for c in checks] == [Health.FAIL]
    assert "scaled to 0" in checks[0].detail


def test_what_somebody_else_installed_is_adopted(
    place: tuple[Cluster, Elsewhere, list[InstallComponent]],
) -> None:
    cluster, _, components = place
    foreign = msgspec.structs.replace(
        components[0], definitions=[], workloads=[_foreign_deployment(cluster)]
    )
    [change] = installer(place, []).install([foreign])
    assert change.outcome == InstallOutcome.ADOPTED


def test_a_gateway_is_made_beside_definitions_of_somebody_else(
    place: tuple[Cluster, Elsewhere, list[InstallComponent]],
) -> None:
    cluster, elsewhere, _ = place
    [component] = chosen(read_components(ROOT), ["gateway-api"])

    def documents(component: InstallComponent) -> list[Object]:
        rendered = render(ROOT, component)
        return with_settings(rendered, image="", gateway_class="none", gateway=elsewhere.mark)

    planned = Installer(cluster, documents)
    if not all(cluster.get(DEFINITION, name, "") for name in component.definitions):
        pytest.skip("the cluster has no Gateway API")
    [change] = planned.plan([component])
    assert f"Gateway/{elsewhere.mark}" in change.created
    assert not any(c.startswith("CustomResourceDefinition") for c in change.changed)


def _foreign_deployment(cluster: Cluster) -> str:
    """A Deployment of the cluster that this project did not make."""
    for found in cluster.list(DEPLOYMENT, namespace=""):
        managers = {m.get("manager") for m in found["metadata"].get("managedFields", [])}
        if "platform-ctl" not in managers:
            return f"{found['metadata']['namespace']}/{found['metadata']['name']}"
    pytest.skip("every Deployment of the cluster was made from here")


def test_removal_names_the_volumes_and_takes_only_what_is_ours(
    place: tuple[Cluster, Elsewhere, list[InstallComponent]],
) -> None:
    cluster, elsewhere, components = place
    planned = plan_removal(cluster, components[0], elsewhere.documents(components[0]))
    assert sorted(planned.claims) == ["postgres", "s3"]
    remove(cluster, planned, lambda line: None)
    spot = f"{elsewhere.mark}-storage"
    eventually(lambda: cluster.list(DEPLOYMENT, namespace=spot) == [], seconds=60)
