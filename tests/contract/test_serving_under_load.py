"""A cluster's service under load: no request is lost, whatever happens to its revisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_ctl.cluster.api import POD, Cluster
from platform_ctl.serving.kubernetes.manifests import SERVICE_LABEL
from platform_ctl.serving.kubernetes.service import is_ready
from platform_ctl.serving.service import Revision, ServiceSpec
from tests.support import cluster, gateway, stored_models
from tests.support.serving import ROOT
from tests.support.waiting import eventually

pytestmark = cluster.needs_image
RATE = 40


@pytest.fixture
def connection() -> Iterator[Cluster]:
    with cluster.own_namespace("load") as found:
        yield found


@pytest.fixture
def models(request: pytest.FixtureRequest, connection: Cluster) -> Path:
    folder = ROOT / ".platform" / connection.namespace
    folder.mkdir(parents=True)
    request.addfinalizer(lambda: stored_models.remove(folder))
    return folder


@pytest.mark.parametrize("kserve", [True, False], ids=["kserve", "deployments"])
def test_no_request_is_lost(connection: Cluster, models: Path, kserve: bool) -> None:
    port = gateway.on_cluster(connection)
    if kserve and not port.uses_kserve:
        pytest.skip("this cluster has no KServe")
    port = gateway.on_cluster(connection, kserve=kserve, replicas=2)
    old, new = (
        Revision(name, str(path), "1", digest)
        for name, factor in (("old", 1.0), ("new", 2.0))
        for path, digest in [stored_models.write(models / name, factor=factor)]
    )
    service = port.apply("shop", ServiceSpec(old))
    eventually(lambda: gateway.ask(service) == (200, "old"), seconds=30)
    with gateway.steady_load(service, rate=RATE) as report:
        for spec in (ServiceSpec(old, new, 10), ServiceSpec(old, new, 50), ServiceSpec(new)):
            port.apply("shop", spec)
        port.apply("shop", ServiceSpec(new, old, 50))
        port.apply("shop", ServiceSpec(old))  # rolled back
        port.start("shop", anew=True)
        pods = connection.list(POD, labels=f"{SERVICE_LABEL}=shop")
        pod = next(p for p in pods if is_ready(p))
        connection.delete(POD, pod["metadata"]["name"])
        eventually(lambda: _is_replaced(connection, pod), seconds=60)
    assert report.failures == {}
    assert report.answers["200", "old"] > 100 and report.answers["200", "new"] > 20


def _is_replaced(connection: Cluster, pod: dict) -> bool:
    pods = connection.list(POD, labels=f"{SERVICE_LABEL}=shop")
    ready = {p["metadata"]["name"] for p in pods if is_ready(p)}
    return len(ready - {pod["metadata"]["name"]}) >= 2
