"""Predictors of a cluster behind its Gateway, and callers of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from platform_ctl.cluster.api import Cluster
from platform_ctl.serving.kubernetes.manifests import PredictorSettings
from platform_ctl.serving.kubernetes.service import INFERENCE_SERVICE, KubernetesServing
from platform_ctl.serving.service import InferenceService
from platform_ctl.settings import KubernetesSettings
from tests.support import cluster

GATEWAY = "PLATFORM_TEST_GATEWAY"
GATEWAY_URL = "PLATFORM_TEST_GATEWAY_URL"
BODY = json.dumps({"instances": [[1, 2]]})
CALLERS = 4


def on_cluster(
    connection: Cluster, *, kserve: bool | None = None, replicas: int = 1
) -> KubernetesServing:
    """The port in the connection's namespace. ``kserve`` None: where the cluster has it."""
    settings = KubernetesSettings(
        namespace=connection.namespace,
        service_account="default",
        gateway=os.environ.get(GATEWAY, "platform"),
        predictor_replicas=replicas,
        host_suffix=f"{connection.namespace}.local",
    )
    if kserve is None:
        found = connection.kind(INFERENCE_SERVICE.group_version, INFERENCE_SERVICE.kind)
        kserve = found is not None
    how = PredictorSettings(
        connection.namespace, cluster.image(), settings, kserve, "", cpu="50m", memory_mib=512
    )
    url = os.environ.get(GATEWAY_URL)
    if not url:
        pytest.skip(f"{GATEWAY_URL} names no address of the cluster's Gateway")
    return KubernetesServing(connection, how, url=url)


def ask(service: InferenceService, *, revision: str = "") -> tuple[int, str]:
    """(status, who answered) of one prediction on a connection of its own."""
    headers = {"x-platform-revision": revision, "host": service.host}
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=10)
    try:
        return _ask(connection, service.name, {k: v for k, v in headers.items() if v})
    finally:
        connection.close()


def _ask(
    connection: http.client.HTTPConnection, name: str, headers: dict[str, str]
) -> tuple[int, str]:
    path = f"/v1/models/{name}:predict"
    connection.request("POST", path, BODY, {"content-type": "application/json", **headers})
    response = connection.getresponse()
    response.read()
    return response.status, response.getheader("x-served-by") or ""


@dataclass
class Report:
    """``answers``: (status or kind of failure, who answered) -> how often."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def failures(self) -> dict[tuple[str, str], int]:
        return {what: n for what, n in self.answers.items() if what[0] != "200"}


@contextlib.contextmanager
def steady_load(service: InferenceService, *, rate: int) -> Iterator[Report]:
    """``rate`` requests a second, from callers that keep their connections."""
    report, stop = Report(), threading.Event()

    def call() -> None:
        connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=30)
        while not stop.is_set():
            started = time.monotonic()
            try:
                status, who = _ask(connection, service.name, {"host": service.host})
                report.answers[str(status), who] += 1
            except (OSError, http.client.HTTPException) as exc:
                report.answers[type(exc).__name__, ""] += 1
                connection.close()
            stop.wait(max(0.0, CALLERS / rate - (time.monotonic() - started)))
        connection.close()

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield report
    finally:
        stop.set()
        for caller in callers:
            caller.join()
