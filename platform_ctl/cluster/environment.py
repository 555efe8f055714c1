"""The environment that every pod of the platform gets from the cluster.

A pod's settings are its image's defaults and two objects of its namespace: the
ConfigMap ``kubernetes.config_map`` (``PLATFORM_CTL_*``, addresses) and the
Secret ``kubernetes.secret`` (``AWS_*``, ``PGPASSWORD``, ``REDIS_PASSWORD``).
Both are optional for the kubelet, so that a pod starts and says what it misses.
"""

from __future__ import annotations

from typing import Any

from platform_ctl.settings import KubernetesSettings


def env_from(settings: KubernetesSettings) -> list[dict[str, Any]]:
    """``envFrom`` of a container: the ConfigMap, then the Secret, whose entries win."""
    return [
        {"configMapRef": {"name": settings.config_map, "optional": True}},
        {"secretRef": {"name": settings.secret, "optional": True}},
    ]
