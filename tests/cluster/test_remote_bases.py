"""Components on remote bases: each renders to what the lock says and passes schema and lint."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from platform_ctl.cluster.api import Object
from platform_ctl.installation.components import (
    FOLDER,
    InstallComponent,
    read_components,
    read_lock,
)
from platform_ctl.installation.lint import check_documents
from platform_ctl.installation.rendering import WORKLOADS, pod_template, render, summary
from tests.support.cluster import needs_cluster

ROOT = Path(__file__).resolve().parents[2]
REMOTE = [c for c in read_components(ROOT) if c.source.startswith("https://")]
REPOSITORY = re.compile(r"https://github\.com/[^/]+/[^/]+")
VERSION = "1.36"
MONITORS = ROOT / FOLDER / "monitoring" / "monitors.yaml"
MONITORED = {
    "kfp": ("kfp", "workflow-controller"),
    "katib": ("katib",),
    "kuberay": ("kuberay",),
}
"""Component -> PodMonitors that read its pods."""
pytestmark = [
    *needs_cluster,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]


@pytest.fixture(scope="module", params=REMOTE, ids=lambda c: c.name)
def rendered(request: pytest.FixtureRequest) -> tuple[InstallComponent, list[Object]]:
    """A component whose base git finds without a network: from a mirror that its settings name."""
    component: InstallComponent = request.param
    found = REPOSITORY.match(component.source)
    assert found
    known = subprocess.run(
        ["git", "config", "--get-regexp", r"^url\..*\.insteadof$"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    if found[0] not in known.split():
        pytest.skip(f"git knows no mirror of {found[0]} (git config url.MIRROR.insteadOf)")
    return component, render(ROOT, component)


def test_the_lock_says_what_it_renders_to(
    rendered: tuple[InstallComponent, list[Object]],
) -> None:
    component, documents = rendered
    assert read_lock(ROOT)[component.name] == summary(documents), "run: make tier6-render"


def test_it_passes_the_lint(rendered: tuple[InstallComponent, list[Object]]) -> None:
    assert check_documents(rendered[1], ours=False) == []


def test_each_monitor_of_a_component_selects_pods_that_have_its_port(
    rendered: tuple[InstallComponent, list[Object]],
) -> None:
    component, documents = rendered
    pods = [pod_template(d) for d in documents if d["kind"] in WORKLOADS]
    monitors = yaml.safe_load_all(MONITORS.read_text(encoding="utf-8"))
    named = MONITORED.get(component.name, ())
    for monitor in (m for m in monitors if m["metadata"]["name"] in named):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [p for p in pods if wanted <= p["metadata"].get("labels", {}).items()]
        assert len(found) == 1, monitor["metadata"]["name"]
        ports = {p["containerPort"] for c in found[0]["spec"]["containers"] for p in c["ports"]}
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert endpoint["portNumber"] in ports, monitor["metadata"]["name"]


def test_webhooks_and_pods_use_the_certificates_that_the_installation_makes(
    rendered: tuple[InstallComponent, list[Object]],
) -> None:
    component, documents = rendered
    pods = [pod_template(d)["spec"] for d in documents if d["kind"] in WORKLOADS]
    volumes = [v for p in pods for v in p.get("volumes", []) if "secret" in v]
    mounted = {v["secret"]["secretName"] for v in volumes}
    hooks = [h for d in documents for h in d.get("webhooks") or []]
    answering = {h["clientConfig"]["service"]["name"] for h in hooks}
    assert {c.secret for c in component.certificates} <= mounted
    if component.certificates:
        assert {c.service for c in component.certificates} == answering
    assert not [d for d in documents if d["apiVersion"].startswith("cert-manager.io/")]


def test_it_passes_the_schema_strictly(
    rendered: tuple[InstallComponent, list[Object]],
) -> None:
    """Objects of a definition are left to the API server, which has the definition."""
    _, documents = rendered
    kinds = {
        (d["spec"]["group"], d["spec"]["names"]["kind"])
        for d in documents
        if d["kind"] == "CustomResourceDefinition"
    }
    for document in documents:
        group = document["apiVersion"].rpartition("/")[0]
        if (group, document["kind"]) not in kinds:
            kubernetes_validate.validate(document, VERSION, strict=True)
