"""Digests of images as the nodes of a cluster pulled them.

A tag may name another image tomorrow. Which digest it names today is known to
whoever pulled it: ``status.images`` of a Node lists each image under its tag and
under ``REPOSITORY@sha256:…`` (Kubernetes API v1, ContainerImage).
"""

from __future__ import annotations

from collections.abc import Collection

from platform_ctl.cluster.api import Cluster
from platform_ctl.installation.room import NODE

HUB = "docker.io"


def on_nodes(cluster: Cluster, images: Collection[str]) -> dict[str, str]:
    """Image -> digest, for those of ``images`` that a node has pulled by their tag from a registry.

    An image that two nodes have with different digests is left out: then the tag has moved.
    """
    wanted = {full_name(image): image for image in images}
    by_image: dict[str, set[str]] = {}
    for node in cluster.list(NODE, namespace=""):
        for entry in node.get("status", {}).get("images", []):
            names = entry.get("names") or []
            digests = {name.partition("@")[2] for name in names if "@" in name}
            for name in names:
                if image := wanted.get(full_name(name)):
                    by_image.setdefault(image, set()).update(digests)
    return {image: min(digests) for image, digests in by_image.items() if len(digests) == 1}


def full_name(image: str) -> str:
    """The name with its registry, as nodes have it: ``mysql:8.4`` is in Docker Hub's library."""
    first, slash, _ = image.partition("/")
    if not slash:
        return f"{HUB}/library/{image}"
    return image if "." in first or ":" in first or first == "localhost" else f"{HUB}/{image}"
