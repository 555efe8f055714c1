"""Monitors and rules against a Prometheus Operator's definitions, where the cluster has them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from platform_ctl.cluster.api import Cluster, Object
from platform_ctl.errors import ClusterRefused, ClusterUnavailable
from platform_ctl.installation.check import DEFINITION, is_served
from platform_ctl.installation.components import FOLDER
from tests.support.cluster import needs_cluster, own_namespace

SOURCES = Path(__file__).resolve().parents[2] / FOLDER / "monitoring"
NEEDED = ("podmonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com")
pytestmark = needs_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with own_namespace("monitors") as cluster:
        if not all(is_served(cluster.get(DEFINITION, name, "")) for name in NEEDED):
            pytest.skip("the cluster has no definitions of a Prometheus Operator")
        yield cluster


def objects(cluster: Cluster) -> list[Object]:
    """The objects of the component, in the namespace of the test."""
    texts = [
        (SOURCES / name).read_text(encoding="utf-8") for name in ("monitors.yaml", "rules.yaml")
    ]
    found = [d for text in texts for d in yaml.safe_load_all(text)]
    return [d | {"metadata": d["metadata"] | {"namespace": cluster.namespace}} for d in found]


def test_each_object_is_what_its_definition_says(cluster: Cluster) -> None:
    """Server-side apply refuses a field that the definition does not declare."""
    found = objects(cluster)
    assert {d["kind"] for d in found} >= {"PodMonitor", "PrometheusRule"}
    for document in found:
        assert cluster.apply(document, dry_run=True)["metadata"]["name"]


def test_a_field_that_no_definition_declares_is_refused(cluster: Cluster) -> None:
    for document in objects(cluster):
        broken = copy.deepcopy(document)
        broken["spec"]["podMetricEndpoint"] = []
        with pytest.raises((ClusterRefused, ClusterUnavailable)):
            cluster.apply(broken, dry_run=True)
