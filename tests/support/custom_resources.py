"""The platform's custom resources on a test cluster, and people who try what they may do."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from platform_ctl.cluster.access import Client
from platform_ctl.cluster.api import Cluster, connect
from tests.support.cluster import KUBECONFIG, own_namespace
from tests.support.waiting import eventually

PLATFORM = Path(__file__).parents[2] / "infra" / "tier6" / "platform"
APPROVERS = "platform-approvers"
OPERATORS = "platform-operators"
VIEWERS = "platform-viewers"
_EVERYWHERE = ("crds/approvals.yaml", "crds/releases.yaml", "policies/approvals.yaml")


@contextmanager
def resources_namespace(prefix: str) -> Iterator[Cluster]:
    """A namespace of its own, with the roles of people, on a cluster with our custom resources."""
    with own_namespace(prefix) as cluster:
        _install(cluster)
        for manifest in _manifests("approvers.yaml"):
            manifest["metadata"]["namespace"] = cluster.namespace
            cluster.apply(manifest)
        yield cluster


def as_person(cluster: Cluster, name: str, *groups: str) -> Cluster:
    """The same connection, for the API server another person's."""
    made = connect(kubeconfig=os.environ[KUBECONFIG], namespace=cluster.namespace)
    return dataclasses.replace(made, client=_Impersonating(made.client, name, groups))


class _Impersonating:
    """A client whose calls carry the impersonation headers of the Kubernetes API."""

    def __init__(self, client: Client, name: str, groups: Sequence[str]) -> None:
        self._client, self._name, self._groups = client, name, groups

    @property
    def host(self) -> str:
        return self._client.host

    @property
    def pool(self) -> Any:
        return self._client.pool

    def authorize(self, headers: dict[str, str]) -> None:
        self._client.authorize(headers)
        headers["Impersonate-User"] = self._name
        if self._groups:
            (headers["Impersonate-Group"],) = self._groups


def _manifests(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((PLATFORM / file).read_text(encoding="utf-8")))


@functools.cache
def _installed(server: str) -> set[str]:
    return set()


def _install(cluster: Cluster) -> None:
    done = _installed(cluster.server)
    if done:
        return
    for file in _EVERYWHERE:
        for manifest in _manifests(file):
            cluster.apply(manifest)
    group = "/apis/platform.abukix.dev/v1alpha1"
    eventually(
        lambda: (
            {"approvals", "releases"}
            <= {r["name"] for r in (cluster.read(group) or {}).get("resources", [])}
        ),
        seconds=30,
    )
    done.add("custom resources")
