"""The platform's custom resources on a test cluster: installed once, and accounts to try them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from platform_ctl.cluster.api import Cluster
from tests.support.cluster import own_namespace
from tests.support.waiting import eventually

PLATFORM = Path(__file__).parents[2] / "infra" / "tier6" / "platform"
_FILES = ("crds/approvals.yaml", "crds/releases.yaml", "policies/approvals.yaml")


@contextmanager
def resources_namespace(prefix: str) -> Iterator[Cluster]:
    """A namespace of its own on a cluster that has the custom resources and their policy."""
    with own_namespace(prefix) as cluster:
        _install(cluster)
        yield cluster


@functools.cache
def _installed(server: str) -> set[str]:
    return set()


def _install(cluster: Cluster) -> None:
    done = _installed(cluster.server)
    if done:
        return
    for file in _FILES:
        for manifest in yaml.safe_load_all((PLATFORM / file).read_text(encoding="utf-8")):
            cluster.apply(manifest)
    group = "/apis/platform.abukix.dev/v1alpha1"
    eventually(
        lambda: {"approvals", "releases"}
        <= {r["name"] for r in (cluster.read(group) or {}).get("resources", [])},
        seconds=30,
    )
    done.add("custom resources")
