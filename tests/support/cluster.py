"""The cluster that a test may use: where it is, and a namespace of its own.

``PLATFORM_TEST_KUBECONFIG`` names it, ``PLATFORM_TEST_IMAGE`` an image that holds this checkout,
``PLATFORM_TEST_IMAGES`` (JSON) what stands for images of components, as kubernetes.images does.
Without the first every test marked by ``needs_cluster`` skips, and says so.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from platform_ctl.cluster.api import Cluster, ResourceKind, connect

KUBECONFIG = "PLATFORM_TEST_KUBECONFIG"
IMAGE = "PLATFORM_TEST_IMAGE"
IMAGES = "PLATFORM_TEST_IMAGES"
KFP_URL = "PLATFORM_TEST_KFP_URL"
NAMESPACE = ResourceKind("v1", "Namespace", "namespaces", namespaced=False)

needs_cluster = [
    pytest.mark.cluster,
    pytest.mark.skipif(not os.environ.get(KUBECONFIG), reason=f"{KUBECONFIG} names no cluster"),
]
"""Marks of a test, or of a parameter, that talks to a cluster."""

needs_image = [
    *needs_cluster,
    pytest.mark.skipif(not os.environ.get(IMAGE), reason=f"{IMAGE} names no image of the checkout"),
]
needs_components = [
    *needs_image,
    pytest.mark.skipif(
        IMAGES not in os.environ,
        reason=f"{IMAGES} does not say what stands for images of components ({{}}: it pulls)",
    ),
]
"""Marks of a test that runs components of infra/tier6 in the cluster."""
needs_kfp = [
    pytest.mark.cluster,
    pytest.mark.skipif(not os.environ.get(KFP_URL), reason=f"{KFP_URL} names no KFP API server"),
]


def image() -> str:
    return os.environ[IMAGE]


def images() -> dict[str, str]:
    """What stands for images of components, where the cluster reaches no registry."""
    return dict(json.loads(os.environ.get(IMAGES) or "{}"))


@contextmanager
def own_namespace(prefix: str) -> Iterator[Cluster]:
    """A connection to a new namespace, which is deleted afterwards with all that is in it."""
    name = f"test-{prefix}-{uuid.uuid4().hex[:6]}"
    cluster = connect(kubeconfig=os.environ[KUBECONFIG], namespace=name)
    labels = {"katib.kubeflow.org/metrics-collector-injection": "enabled"}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": labels},
        }
    )
    try:
        yield cluster
    finally:
        cluster.delete(NAMESPACE, name)
