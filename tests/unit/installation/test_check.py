"""What the check of a cluster says about each thing that can be wrong with a component."""

from __future__ import annotations

from typing import Any

import pytest

from platform_ctl.doctor.doctor import Health
from platform_ctl.errors import ClusterUnavailable
from platform_ctl.installation.check import check_cluster, check_component, check_server, is_served
from platform_ctl.installation.components import InstallComponent, VersionSource
from platform_ctl.settings import KubernetesSettings, TrainingSettings
from tests.support.served_objects import ServedObjects

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEPLOYMENTS = "/apis/apps/v1/deployments"
HEALTHZ = "/api/v1/namespaces/kubeflow/services/http:ml-pipeline:8888/proxy/apis/v2beta1/healthz"

KATIB = InstallComponent(
    name="katib",
    does="Searches hyperparameters",
    version="v0.19.0",
    source="https://example.org/katib?ref=v0.19.0",
    namespace="kubeflow",
    definitions=["experiments.kubeflow.org"],
    workloads=["katib-controller"],
    anywhere=True,
    version_of=VersionSource(image="katib-controller"),
)


def definition(name: str, *, established: bool = True, **annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": annotations},
        "status": {"conditions": [{"type": "Established", "status": str(established)}]},
    }


def deployment(image: str, *, replicas: int = 1, available: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"name": "katib-controller", "namespace": "elsewhere"},
        "spec": {
            "replicas": replicas,
            "template": {"spec": {"containers": [{"name": "c", "image": image}]}},
        },
        "status": {"availableReplicas": available},
    }


def served(**changes: Any) -> ServedObjects:
    answers = {
        "/version": {"gitVersion": "v1.36.3"},
        f"{DEFINITIONS}/experiments.kubeflow.org": definition("experiments.kubeflow.org"),
        DEPLOYMENTS: {"items": [deployment("ghcr.io:443/katib/katib-controller:v0.19.0")]},
    }
    return ServedObjects(answers | changes)


@pytest.mark.parametrize(
    ("workload", "namespace", "anywhere", "health"),
    [
        ("redis", "storage", False, Health.OK),
        ("redis", "shop", False, Health.WARN),
        ("kubeflow/redis", "kubeflow", False, Health.OK),
        ("redis", "shop", True, Health.OK),
    ],
)
def test_a_deployment_of_the_same_name_in_another_namespace_is_not_the_component(
    workload: str, namespace: str, anywhere: bool, health: Health
) -> None:
    """``redis`` of another team is no part of our storage; an operator may live elsewhere."""
    found = deployment("redis:7")
    found["metadata"] = {"name": "redis", "namespace": namespace}
    component = InstallComponent(
        "storage",
        "",
        "1",
        "",
        "storage",
        core=False,
        workloads=[workload],
        anywhere=anywhere,
    )
    cluster = ServedObjects(
        {
            DEPLOYMENTS: {"items": [found]},
            f"/apis/apps/v1/namespaces/{namespace}/deployments/redis": found,
        }
    )
    assert [c.health for c in check_component(cluster, component)] == [health]


def test_a_definition_that_was_made_a_moment_ago_is_not_served_yet() -> None:
    """The API server gives it ``conditions: null`` until it has looked at the names."""
    assert not is_served({"status": {"conditions": None}})
    assert not is_served(None)
    assert is_served(definition("experiments.kubeflow.org"))


def test_a_component_that_is_as_the_table_says_is_one_line() -> None:
    [check] = check_component(served(), KATIB)
    assert (check.health, check.name, check.detail) == (Health.OK, "katib", "v0.19.0")


def test_a_missing_definition_is_named_with_the_command_that_installs_it() -> None:
    cluster = served()
    del cluster.answers[f"{DEFINITIONS}/experiments.kubeflow.org"]
    [check] = check_component(cluster, KATIB)
    assert check.health == Health.FAIL
    assert "experiments.kubeflow.org" in check.detail
    assert check.fix == "platform-ctl target install katib"


def test_a_definition_that_is_not_established_is_not_served() -> None:
    path = f"{DEFINITIONS}/experiments.kubeflow.org"
    cluster = served(**{path: definition("experiments.kubeflow.org", established=False)})
    assert check_component(cluster, KATIB)[0].health == Health.FAIL


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([], "not installed"),
        ([deployment("k:v0.19.0", available=0)], "0 of 1 pods"),
        ([deployment("k:v0.19.0", replicas=0, available=0)], "scaled to 0"),
    ],
)
def test_a_controller_that_is_not_there_fails(items: list[Any], words: str) -> None:
    checks = check_component(served(**{DEPLOYMENTS: {"items": items}}), KATIB)
    assert checks[0].health == Health.FAIL
    assert words in checks[0].detail
    assert checks[0].fix


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("k:v0.18.0", "v0.18.0"),
        ("registry:5000/k", "latest"),
        ("registry:5000/k@sha256:00", "latest"),
    ],
)
def test_another_version_warns(image: str, found: str) -> None:
    cluster = served(**{DEPLOYMENTS: {"items": [deployment(image)]}})
    [check] = check_component(cluster, KATIB)
    assert check.health == Health.WARN
    assert check.detail == f"version {found}; tested with v0.19.0"


def test_kfp_says_its_version_itself_and_may_be_down() -> None:
    kfp = InstallComponent(
        name="kfp",
        does="Runs pipelines",
        version="2.17.0",
        source="",
        namespace="kubeflow",
        definitions=[],
        workloads=[],
        version_of=VersionSource(healthz="ml-pipeline:8888"),
    )
    answers = {HEALTHZ: {"tag_name": "2.17.0"}}
    [check] = check_component(ServedObjects(answers), kfp)
    assert (check.health, check.detail) == (Health.OK, "2.17.0")
    [check] = check_component(ServedObjects(answers, down=(HEALTHZ,)), kfp)
    assert check.health == Health.FAIL


@pytest.mark.parametrize(
    ("version", "health"), [("v1.36.3", "ok"), ("v1.29.9-eks-1", "fail"), ("", "fail")]
)
def test_an_old_api_server_fails(version: str, health: str) -> None:
    assert check_server(version).health == health


def test_an_api_server_that_does_not_answer_ends_the_check() -> None:
    with pytest.raises(ClusterUnavailable):
        check_cluster(
            ServedObjects({}, down=("/version",)), [KATIB], KubernetesSettings(), TrainingSettings()
        )
