"""Takes a component out of a cluster, after saying what goes with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from platform_ctl.cluster.api import Cluster, Object, ResourceKind
from platform_ctl.installation.check import DEFINITION, is_ours
from platform_ctl.installation.components import InstallComponent
from platform_ctl.installation.install import ordered

SHARED_NAMESPACES = frozenset(["kubeflow"])
"""Several components live there: it is never removed with one of them."""


@dataclass(frozen=True)
class Removal:
    """What would be deleted. ``foreign``: objects that somebody else made, which stay."""

    component: InstallComponent
    objects: list[Object]
    foreign: list[str]
    resources: dict[str, int]
    """Definition -> number of its objects in the cluster, all of which go with it."""
    claims: list[str]
    """Volume claims, whose data goes with them."""


def plan_removal(
    cluster: Cluster, component: InstallComponent, documents: Sequence[Object]
) -> Removal:
    """Look up what of the component is there and ours. Changes nothing."""
    ours: list[Object] = []
    foreign: list[str] = []
    for document in ordered(documents):
        stored = _found(cluster, document)
        if stored is None or _is_shared(document):
            continue
        name = f"{document['kind']}/{document['metadata']['name']}"
        ours.append(stored) if is_ours(stored) else foreign.append(name)
    gone = [o for o in ours if o["kind"] == DEFINITION.kind]
    return Removal(
        component,
        ours,
        foreign,
        {d["metadata"]["name"]: _count(cluster, d) for d in gone},
        [o["metadata"]["name"] for o in ours if o["kind"] == "PersistentVolumeClaim"],
    )


def remove(cluster: Cluster, removal: Removal, progress: Callable[[str], None]) -> None:
    """Delete the objects, those that were applied last first. Can be repeated."""
    for document in reversed(removal.objects):
        kind = cluster.kind_of(document)
        metadata = document["metadata"]
        cluster.delete(kind, metadata["name"], namespace=metadata.get("namespace", ""))
        progress(f"deleted {document['kind']}/{metadata['name']}")
    cluster.forget_kinds()


def _is_shared(document: Object) -> bool:
    return document["kind"] == "Namespace" and document["metadata"]["name"] in SHARED_NAMESPACES


def _found(cluster: Cluster, document: Object) -> Object | None:
    kind = cluster.kind(document["apiVersion"], document["kind"])
    if kind is None:
        return None
    metadata = document["metadata"]
    stored = cluster.get(kind, metadata["name"], metadata.get("namespace", ""))
    # A single object comes without the kind that a list would say.
    named = {"apiVersion": document["apiVersion"], "kind": document["kind"]}
    return stored | named if stored else None


def _count(cluster: Cluster, definition: Object) -> int:
    spec = definition["spec"]
    version = next(v["name"] for v in spec["versions"] if v["served"])
    names = spec["names"]
    kind = ResourceKind(f"{spec['group']}/{version}", names["kind"], names["plural"], False)
    return len(cluster.list(kind, namespace=""))
