"""The lint of manifests: our own tree passes, and each fault that is put in is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platform_ctl.installation.components import FOLDER, read_components, read_lock
from platform_ctl.installation.lint import check_documents, check_kustomization, check_shared

ROOT = Path(__file__).resolve().parents[3]

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 1,
        "template": {
            "spec": {
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 1000,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "web",
                        "image": "example.org/web:1.0",
                        "resources": {
                            "requests": {"cpu": "10m", "memory": "10Mi"},
                            "limits": {"cpu": "10m", "memory": "10Mi"},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                        },
                    }
                ],
            }
        },
    },
}
POLICY: dict[str, Any] = {
    "kind": "NetworkPolicy",
    "metadata": {"name": "web"},
    "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"ports": [{"port": 1}]}]},
}


def pod(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["spec"]["template"]["spec"]
    return found


def container(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod(document)["containers"][0]
    return found


def test_a_sound_deployment_and_policy_pass() -> None:
    assert check_documents([DEPLOYMENT, POLICY], ours=True) == []


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("latest", lambda d: container(d).update(image="example.org/web:latest")),
        ("latest", lambda d: container(d).update(image="example.org:5000/web")),
        ("resources", lambda d: container(d)["resources"].pop("limits")),
        ("resources", lambda d: container(d)["resources"]["requests"].pop("memory")),
        ("root", lambda d: pod(d)["securityContext"].pop("runAsNonRoot")),
        ("root", lambda d: pod(d)["securityContext"].update(runAsUser=0)),
        ("root", lambda d: pod(d)["securityContext"].pop("runAsUser")),
        ("seccomp", lambda d: pod(d)["securityContext"].pop("seccompProfile")),
        ("writable-root", lambda d: container(d)["securityContext"].pop("readOnlyRootFilesystem")),
        ("privilege", lambda d: container(d)["securityContext"].clear()),
        ("secret", lambda d: container(d).update(env=[{"name": "DB_PASSWORD", "value": "x"}])),
    ],
)
def test_each_fault_of_a_workload_is_found(
    rule: str, fault: Callable[[dict[str, Any]], object]
) -> None:
    broken = copy.deepcopy(DEPLOYMENT)
    fault(broken)
    assert rule in {p.rule for p in check_documents([broken], ours=True)}


@pytest.mark.parametrize(
    ("selector", "ingress"),
    [
        ({}, [{"ports": [{"port": 1}]}]),
        ({"matchLabels": {"app": "web"}}, [{}]),
        ({"matchLabels": {"app": "web"}}, [{"from": [{"namespaceSelector": {}}]}]),
    ],
)
def test_a_policy_that_lets_everybody_in_is_found(
    selector: dict[str, Any], ingress: list[Any]
) -> None:
    broken = POLICY | {"spec": {"podSelector": selector, "ingress": ingress}}
    assert [p.rule for p in check_documents([broken], ours=False)] == ["open-policy"]


CI = {"matchLabels": {"kubernetes.io/metadata.name": "gitea"}}
RUNNER = {"matchLabels": {"app.kubernetes.io/component": "ci-runner"}}
KFP = {"matchLabels": {"app": "ml-pipeline"}}


@pytest.mark.parametrize(
    ("rules", "selector", "sources"),
    [
        (["whole-namespace"], {}, [{"namespaceSelector": CI}]),
        (["split-source"], KFP, [{"namespaceSelector": CI}, {"podSelector": RUNNER}]),
        ([], KFP, [{"namespaceSelector": CI, "podSelector": RUNNER}]),
        ([], {}, [{"podSelector": {}}]),
    ],
)
def test_a_policy_that_lets_more_of_a_namespace_in_than_meant_is_found(
    rules: list[str], selector: dict[str, Any], sources: list[dict[str, Any]]
) -> None:
    ingress = [{"from": sources, "ports": [{"port": 8888}]}]
    policy = POLICY | {"spec": {"podSelector": selector, "ingress": ingress}}
    assert [p.rule for p in check_documents([policy], ours=False)] == rules


def test_a_secret_with_a_value_is_found() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "value"}}
    assert [p.rule for p in check_documents([secret], ours=True)] == ["secret"]


@pytest.mark.parametrize(
    ("name", "value", "rules"),
    [
        ("DB_PASSWORD", "katib", ["secret"]),
        ("AWS_SECRET_ACCESS_KEY", "minio123", ["secret"]),
        ("MYSQL_ALLOW_EMPTY_PASSWORD", "true", []),
        ("SECRET_NAME", "webhook-certificate", []),
        ("KFP_TOKEN", "file:/var/run/token", []),
    ],
)
def test_a_password_that_upstream_writes_down_is_found(
    name: str, value: str, rules: list[str]
) -> None:
    broken = copy.deepcopy(DEPLOYMENT)
    container(broken)["env"] = [{"name": name, "value": value}]
    assert [p.rule for p in check_documents([broken], ours=False)] == rules


@pytest.mark.parametrize(
    ("document", "rules"),
    [
        ({"data": {"agent": '{"image" : "kserve/agent:latest"}'}}, ["latest"]),
        ({"data": {"agent": '{"image" : "kserve/agent:v0.20.0"}'}}, []),
        ({"data": {"_example": '{"image" : "kserve/agent:latest"}'}}, []),
        ({"spec": {"container": {"image": "kserve/storage-initializer:latest"}}}, ["latest"]),
    ],
)
def test_an_image_that_a_controller_starts_later_is_pinned_too(
    document: dict[str, Any], rules: list[str]
) -> None:
    kind = "ConfigMap" if "data" in document else "ClusterStorageContainer"
    found = check_documents([{"kind": kind, "metadata": {"name": "c"}, **document}], ours=False)
    assert [p.rule for p in found] == rules


def test_an_object_of_two_components_is_the_same_in_both() -> None:
    """Otherwise each installation takes away what the other one has applied."""
    plain: dict[str, Any] = {"kind": "Namespace", "metadata": {"name": "shared"}}
    labelled = {
        "kind": "Namespace",
        "metadata": {"name": "shared", "labels": {"enforce": "baseline"}},
    }
    assert check_shared({"one": [plain], "two": [plain]}) == []
    assert [p.rule for p in check_shared({"one": [labelled], "two": [plain]})] == ["shared-object"]


def test_two_deletions_in_one_patch_file_are_found(tmp_path: Path) -> None:
    """The kustomize of kubectl 1.32 ends with a panic there."""
    one = "$patch: delete\napiVersion: v1\nkind: Secret\nmetadata: {name: %s}\n"
    (tmp_path / "both.yaml").write_text(one % "a" + "---\n" + one % "b")
    (tmp_path / "one.yaml").write_text(one % "a")
    path = tmp_path / "kustomization.yaml"
    path.write_text("patches: [{path: one.yaml}]")
    assert check_kustomization(path) == []
    path.write_text("patches: [{path: both.yaml}]")
    assert [p.rule for p in check_kustomization(path)] == ["two-deletions"]


@pytest.mark.parametrize("ref", ["", "?ref=master", "?ref=release-1.0"])
def test_a_base_that_follows_a_branch_is_found(tmp_path: Path, ref: str) -> None:
    path = tmp_path / "kustomization.yaml"
    path.write_text(f"resources: ['https://github.com/kubeflow/katib/manifests{ref}']")
    assert [p.rule for p in check_kustomization(path)] == ["unpinned-base"]


def test_every_component_has_a_folder_with_pinned_bases_and_the_table_its_source() -> None:
    for component in read_components(ROOT):
        paths = [*(ROOT / FOLDER / component.name).rglob("kustomization.yaml")]
        assert [problem for path in paths for problem in check_kustomization(path)] == []
        assert paths, component.name
        if component.source.startswith("https://"):
            assert any(component.source in path.read_text() for path in paths), component.name


def test_the_requests_fit_a_laptop() -> None:
    lock = read_lock(ROOT)
    core = {c.name for c in read_components(ROOT) if c.core}
    assert sum(r.cpu_m for n, r in lock.items() if n in core) <= 2000
    assert sum(r.memory_mib for n, r in lock.items() if n in core) <= 6 * 1024
    assert sum(r.cpu_m for r in lock.values()) <= 4000
    assert sum(r.memory_mib for r in lock.values()) <= 12 * 1024
