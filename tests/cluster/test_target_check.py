"""Faults put into a namespace of a real cluster: the check names each, with its mend."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from platform_ctl.cluster.api import CONFIG_MAP, Cluster
from platform_ctl.doctor.doctor import Check, Health
from platform_ctl.installation import preflight
from platform_ctl.installation.check import check_component
from platform_ctl.installation.components import InstallComponent, VersionSource
from platform_ctl.installation.probe import probe_cluster
from platform_ctl.settings import KubernetesSettings
from tests.support.cluster import image, needs_cluster, needs_image, own_namespace
from tests.support.waiting import eventually


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
        assert preflight.check_quota(cluster, cluster.namespace).health == Health.OK
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "team"},
                "spec": {"hard": {"requests.cpu": "100m", "requests.memory": "4Gi"}},
            }
        )
        eventually(lambda: preflight.check_quota(cluster, cluster.namespace).health == Health.FAIL)
        assert "team leaves 100m" in preflight.check_quota(cluster, cluster.namespace).detail

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

    def test_a_definition_and_a_controller_that_are_missing(
        self, cluster: Cluster, mark: str
    ) -> None:
        absent = InstallComponent(
            "x", "", "1", "", "kubeflow", definitions=["nothings.example.org"]
        )
        assert check_component(cluster, absent)[0].health == Health.FAIL
        headless = InstallComponent("x", "", "1", "", "kubeflow", workloads=["nothing"])
        assert check_component(cluster, headless)[0].fix == "platform-ctl target install x"

    def test_another_version(self, cluster: Cluster, mark: str) -> None:
        other = InstallComponent(
            "katib",
            "",
            "v0.1.0",
            "",
            "kubeflow",
            definitions=["experiments.kubeflow.org"],
            version_of=VersionSource(image="katib-controller"),
        )
        [found] = check_component(cluster, other)
        assert found.health == Health.WARN
        assert "tested with v0.1.0" in found.detail

    def test_a_client_that_does_not_fit(self, mark: str) -> None:
        found = preflight.check_skew("kfp-server-api", "kfp", "1.8.5")
        assert found.health == Health.FAIL


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
