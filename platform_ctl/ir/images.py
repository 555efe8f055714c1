"""Images of a compiled pipeline: which it names, and a copy with the image of the settings."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from platform_ctl.errors import UploadRefused

Documents = Sequence[Mapping[str, Any]]
"""The YAML documents of compiled IR: the pipeline, then perhaps ``platforms``."""


def images(documents: Documents) -> list[str]:
    """Every image that a container executor names, each once, sorted."""
    return sorted({container["image"] for container in _containers(documents)})


def has_digest(image: str) -> bool:
    """Whether the name says which bytes it means, whatever its tag points to tomorrow."""
    name, _, digest = image.partition("@sha256:")
    return bool(name) and len(digest) == 64 and not set(digest) - set("0123456789abcdef")


def with_image(documents: Documents, image: str, *, where: str = "") -> list[dict[str, Any]]:
    """A copy in which ``image`` stands for the one image without digest; "" changes nothing.

    Images that carry a digest stay: their author chose them. Raises UploadRefused
    where two different ones carry none, since one of them would be replaced by mistake.
    """
    changed = [copy.deepcopy(dict(document)) for document in documents]
    if not image:
        return changed
    tagged = [name for name in images(changed) if not has_digest(name)]
    if len(tagged) > 1:
        raise UploadRefused(
            f"kubernetes.image cannot stand for {len(tagged)} images: {', '.join(tagged)}",
            where=where,
            fix="give the other images their digests, then platform-ctl pipeline compile",
        )
    for container in _containers(changed):
        if container["image"] in tagged:
            container["image"] = image
    return changed


def _containers(documents: Documents) -> Iterator[dict[str, Any]]:
    executors = documents[0].get("deploymentSpec", {}).get("executors", {}) if documents else {}
    for executor in executors.values():
        if "image" in executor.get("container", {}):
            yield executor["container"]
