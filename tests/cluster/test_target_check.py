"""Faults put into a namespace of a real cluster: the check names each, with its mend."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from platform_ctl.cluster.api import CONFIG_MAP, DEPLOYMENT, Cluster, Object, ResourceKind
from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.errors import ClusterUnavailable
from platform_ctl.installation import preflight
from platform_ctl.installation.check import DEFINITION, check_component, installed_version
from platform_ctl.installation.components import InstallComponent, VersionSource
from platform_ctl.installation.probe import probe_cluster
from platform_ctl.installation.room import check_nodes, check_quota
from platform_ctl.settings import KubernetesSettings, TrainingSettings
from tests.support.cluster import KUBECONFIG, image, needs_cluster, needs_image, own_namespace
from tests.support.waiting import eventually

OWN = "platform.abukix.dev/test"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with own_namespace("check") as found:
        yield found


def settings(cluster: Cluster, **changes: str) -> KubernetesSettings:
    own = KubernetesSettings(namespace=cluster.namespace, gateway_namespace=cluster.namespace)
    return msgspec.structs.replace(own, **changes)


def failed(checks: list[Check]) -> list[str]:
    return [c.detail for c in checks if c.health == Health.FAIL and c.fix]


@pytest.mark.parametrize("mark", [pytest.param("", marks=needs_cluster)])
class TestFaults:
    def test_a_missing_label(self, cluster: Cluster, mark: str) -> None:
        assert preflight.check_namespace(cluster, cluster.namespace).health == Health.OK
        labels = {"metadata": {"labels": {preflight.INJECTION: None}}}
        cluster.patch(preflight.NAMESPACE, cluster.namespace, labels, namespace="")
        found = preflight.check_namespace(cluster, cluster.namespace)
        assert found.health == Health.FAIL
        assert found.fix.startswith(f"kubectl label namespace {cluster.namespace} ")

    def test_a_quota_that_is_too_small(self, cluster: Cluster, mark: str) -> None:
        assert quota(cluster).health == Health.OK
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "team"},
                "spec": {"hard": {"requests.cpu": "100m", "requests.memory": "4Gi"}},
            }
        )
        eventually(lambda: quota(cluster).health == Health.FAIL)
        assert "team leaves 100m" in quota(cluster).detail

    def test_an_account_without_rights(self, cluster: Cluster, mark: str) -> None:
        details = failed(list(preflight.check_rights(cluster, settings(cluster))))
        assert any("create rayjobs.ray.io" in d for d in details)
        assert any("patch httproutes.gateway.networking.k8s.io" in d for d in details)

    def test_settings_that_pods_lack(self, cluster: Cluster, mark: str) -> None:
        own = settings(cluster)
        assert len(failed(list(preflight.check_environment(cluster, own)))) == 2
        values = dict.fromkeys(preflight.CONFIG_KEYS[1:], "x")
        cluster.apply(config_map(own.config_map, values))
        details = failed(list(preflight.check_environment(cluster, own)))
        assert preflight.CONFIG_KEYS[0] in details[0]

    def test_a_gateway_that_nobody_programs(self, cluster: Cluster, mark: str) -> None:
        listener = {"name": "http", "port": 8000, "protocol": "HTTP"}
        cluster.apply(
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "metadata": {"name": "platform"},
                "spec": {"gatewayClassName": "nobody", "listeners": [listener]},
            }
        )
        found = preflight.check_gateway(cluster, settings(cluster))
        assert found.health == Health.FAIL
        assert "class nobody is not programmed" in found.detail

    def test_a_node_that_is_too_small(self, cluster: Cluster, mark: str) -> None:
        assert check_nodes(cluster, TrainingSettings(worker_cpus=0.1)).health == Health.OK
        found = check_nodes(cluster, TrainingSettings(worker_cpus=4096))
        assert found.health == Health.FAIL
        assert "can take a worker of 4096000m CPU" in found.detail
        assert "WORKER_CPUS" in found.fix

    def test_no_default_storage_class(self, mark: str) -> None:
        with own_namespace("check") as cluster:
            name = cluster.namespace
            only = OnlyOwn(cluster.client, name, cluster.server)
            none = preflight.check_storage_class(only)
            assert none.detail.startswith("the cluster has none")
            assert preflight.LOCAL_VOLUMES in none.fix
            cluster.apply(
                {
                    "apiVersion": "storage.k8s.io/v1",
                    "kind": "StorageClass",
                    "metadata": {"name": name, "labels": {OWN: name}},
                    "provisioner": "example.org/none",
                    "reclaimPolicy": "Delete",
                }
            )
            try:
                found = preflight.check_storage_class(only)
                assert found.health == Health.FAIL
                # A second default class would take over claims of others: so it is only tried.
                kubectl(f"{found.fix} --dry-run=server")
            finally:
                cluster.delete(preflight.STORAGE_CLASS, name, namespace="")

    def test_a_definition_that_is_missing(self, cluster: Cluster, mark: str) -> None:
        group = f"{cluster.namespace}.example.org"
        name = f"things.{group}"
        own = InstallComponent("things", "", "1", "", cluster.namespace, definitions=[name])
        cluster.apply(definition(group, name))
        try:
            eventually(lambda: check_component(cluster, own)[0].health == Health.OK, seconds=30)
        finally:
            cluster.delete(DEFINITION, name, namespace="")
        eventually(lambda: check_component(cluster, own)[0].health == Health.FAIL, seconds=30)
        [found] = check_component(cluster, own)
        assert name in found.detail
        assert found.fix == "platform-ctl target install things"

    def test_a_controller_that_is_missing_of_another_version_or_down(
        self, cluster: Cluster, mark: str
    ) -> None:
        name = f"controller-{cluster.namespace}"
        own = InstallComponent(
            "things",
            "",
            "v2.0.0",
            "",
            cluster.namespace,
            workloads=[name],
            version_of=VersionSource(image=name),
        )
        assert "not installed" in check_component(cluster, own)[0].detail
        cluster.apply(deployment(name, "registry.invalid/controller:v1.9.0", replicas=1))
        [found] = check_component(cluster, own)
        assert "0 of 1 pods are available" in found.detail
        cluster.patch(DEPLOYMENT, name, {"spec": {"replicas": 0}})
        [found] = check_component(cluster, own)
        assert found.fix.startswith(f"kubectl -n {cluster.namespace} scale deployment/{name}")
        assert installed_version(cluster, own) == "v1.9.0"


def quota(cluster: Cluster) -> Check:
    return check_quota(cluster, cluster.namespace, TrainingSettings())


class OnlyOwn(Cluster):
    """The StorageClasses that the test made: those of a cluster in use stay as they are."""

    def list(self, kind: ResourceKind, *, labels: str = "", **rest: Any) -> list[Object]:
        return super().list(kind, labels=labels or f"{OWN}={self.namespace}", **rest)


def definition(group: str, name: str) -> Object:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    return {
        "apiVersion": DEFINITION.group_version,
        "kind": DEFINITION.kind,
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            "versions": [version],
        },
    }


def deployment(name: str, used: str, *, replicas: int) -> Object:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": used}]},
            },
        },
    }


def kubectl(command: str) -> None:
    words = [*shlex.split(command), "--kubeconfig", os.environ[KUBECONFIG]]
    subprocess.run(words, check=True, capture_output=True, timeout=60)


def config_map(name: str, data: dict[str, str]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": CONFIG_MAP.kind,
        "metadata": {"name": name},
        "data": data,
    }


def without_injection(cluster: Cluster) -> None:
    """Pods of the namespace do not wait for Katib's webhook."""
    labels = {"metadata": {"labels": {preflight.INJECTION: None}}}
    cluster.patch(preflight.NAMESPACE, cluster.namespace, labels, namespace="")


@pytest.mark.parametrize("mark", [pytest.param("", marks=needs_image)])
class TestProbe:
    def test_a_store_that_is_down_is_seen_from_a_pod(self, cluster: Cluster, mark: str) -> None:
        without_injection(cluster)
        own = settings(cluster, image=image())
        cluster.apply(config_map(own.config_map, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}))
        details = failed(probe_cluster(cluster, own))
        assert details == ["no answer at 127.0.0.1:9 (object store)"]

    def test_an_image_that_cannot_be_had_is_named(self, cluster: Cluster, mark: str) -> None:
        without_injection(cluster)
        own = settings(cluster, image="registry.invalid/nothing:1")
        [detail] = failed(probe_cluster(cluster, own, timeout_s=90))
        assert "ImagePullBackOff" in detail

    def test_an_image_without_rays_dashboard_is_named(self, cluster: Cluster, mark: str) -> None:
        """``ray[default]`` is taken away in the pod: importing one of its packages fails."""
        without_injection(cluster)
        own = settings(cluster, image=image())
        hidden = {"sitecustomize.py": "import sys\nsys.modules['aiohttp_cors'] = None\n"}
        cluster.apply(config_map("hidden", hidden))
        cluster.apply(config_map(own.config_map, {"PYTHONPATH": "/hidden"}))
        lacking = Mounting(cluster.client, cluster.namespace, cluster.server)
        details = failed(probe_cluster(lacking, own))
        assert any("ray[default]: without it a RayJob stays Initializing" in d for d in details)

    def test_a_server_that_the_client_here_does_not_fit(self, cluster: Cluster, mark: str) -> None:
        """The health answer comes through the API server's proxy, from a server of this test."""
        without_injection(cluster)
        answer = json.dumps({"tag_name": "1.8.5"})
        cluster.apply(config_map("answer", {"healthz": answer}))
        for manifest in health_server(image()):
            cluster.apply(manifest)
        kfp = InstallComponent(
            "kfp",
            "",
            "1.8.5",
            "",
            cluster.namespace,
            version_of=VersionSource(healthz="kfp:8888"),
            definitions=[],
        )
        eventually(lambda: _answers(cluster, kfp), seconds=90)
        [checked] = check_component(cluster, kfp)
        assert (checked.health, checked.detail) == (Health.OK, "1.8.5")
        found = preflight.check_skew("kfp-server-api", kfp.name, checked.detail)
        assert found.health == Health.FAIL
        assert found.fix == "pip install 'kfp-server-api==1.8.*'"


class Mounting(Cluster):
    """Pods get the ConfigMap ``hidden`` as the folder /hidden."""

    def create(self, manifest: Mapping[str, Any]) -> Object | None:
        changed: Object = json.loads(json.dumps(manifest))
        spec = changed["spec"]
        spec["volumes"] = [{"name": "hidden", "configMap": {"name": "hidden"}}]
        mount = {"name": "hidden", "mountPath": "/hidden"}
        spec["containers"][0]["volumeMounts"] = [mount]
        return super().create(changed)


def _answers(cluster: Cluster, kfp: InstallComponent) -> bool:
    try:
        return installed_version(cluster, kfp) == "1.8.5"
    except ClusterUnavailable:
        return False


def health_server(used: str) -> list[Object]:
    """A pod that serves the ConfigMap ``answer`` at the path of KFP's health, and its Service."""
    container = {
        "name": "kfp",
        "image": used,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "http.server", "8888", "--directory", "/srv/answer"],
        "volumeMounts": [{"name": "answer", "mountPath": "/srv/answer/apis/v2beta1"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "kfp", "labels": {"app": "kfp"}},
        "spec": {
            "containers": [container],
            "volumes": [{"name": "answer", "configMap": {"name": "answer"}}],
            "terminationGracePeriodSeconds": 1,
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kfp"},
        "spec": {"selector": {"app": "kfp"}, "ports": [{"port": 8888}]},
    }
    return [pod, service]
