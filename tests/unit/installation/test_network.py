"""Who may reach KFP's API, by the policies as they are committed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from platform_ctl.installation.lint import check_documents
from tests.support.network_policy import Pod, Policy, reaches

TIER6 = Path(__file__).resolve().parents[3] / "infra" / "tier6"
KFP = Pod("kubeflow", {"app": "ml-pipeline"})
RUNNER = Pod("ci-runners", {"app.kubernetes.io/component": "ci-runner"})
DNS = Pod("kube-system", {"k8s-app": "kube-dns"})
NTFY = Pod("observability", {"app.kubernetes.io/name": "ntfy"})
PROMETHEUS = Pod("monitoring", {"app.kubernetes.io/name": "prometheus"})


def policies(*folders: str) -> list[Policy]:
    found = []
    for folder in folders:
        namespace = yaml.safe_load((TIER6 / folder / "kustomization.yaml").read_text())["namespace"]
        text = (TIER6 / folder / "network.yaml").read_text(encoding="utf-8")
        for document in yaml.safe_load_all(text):
            document["metadata"]["namespace"] = namespace
            found.append(document)
    return found


ALL = policies("platform", "ci")


@pytest.mark.parametrize(
    ("source", "target", "port", "may"),
    [
        (RUNNER, KFP, 8888, True),
        (RUNNER, KFP, 8887, True),
        (RUNNER, KFP, 9090, False),
        (RUNNER, Pod("kubeflow", {"app": "mysql"}), 3306, False),
        (RUNNER, Pod("kubeflow", {"app": "mysql"}), 8888, False),
        (RUNNER, DNS, 53, True),
        (RUNNER, NTFY, 80, True),
        (RUNNER, NTFY, 8080, False),
        (RUNNER, Pod("gitea", {"app.kubernetes.io/name": "gitea"}), 3000, True),
        (RUNNER, Pod("default"), 80, False),
        (Pod("ci-runners", {"app": "somebody"}), KFP, 8888, False),
        (Pod("default", dict(RUNNER.labels)), KFP, 8888, False),
        (Pod("default"), KFP, 8888, False),
        (Pod("gitea", dict(RUNNER.labels)), KFP, 8888, False),
        (Pod("kubeflow", dict(RUNNER.labels)), KFP, 8888, True),
        (Pod("kubeflow", {"app": "ml-pipeline-ui"}), KFP, 8888, True),
        (Pod("kubeflow", {"pipeline/runid": "1"}), KFP, 8887, True),
        (KFP, Pod("kubeflow", {"app": "mysql"}), 3306, True),
        (PROMETHEUS, KFP, 8888, True),
        (Pod("monitoring", {"app": "other"}), KFP, 8888, False),
        (KFP, RUNNER, 80, False),
    ],
)
def test_who_may_reach_whom(source: Pod, target: Pod, port: int, may: bool) -> None:
    assert reaches(source, target, port, ALL) is may


def test_the_policy_for_ci_alone_would_cut_kfp_off() -> None:
    alone = [p for p in ALL if p["metadata"]["name"] == "ci-to-kfp"]
    assert not reaches(Pod("kubeflow", {"app": "ml-pipeline-ui"}), KFP, 8888, alone)
    assert "same-namespace" in {p["metadata"]["name"] for p in ALL}


def test_the_committed_policies_pass_the_lint() -> None:
    assert check_documents(ALL, ours=True) == []
