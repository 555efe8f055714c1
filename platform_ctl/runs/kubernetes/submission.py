"""From committed IR to what is submitted: the image of the settings, the environment of pods.

Steps that run in ``kubernetes.image`` read their settings from the ConfigMap and
the Secret of the namespace. KFP knows no ``envFrom``: it wants each key by name
(kfp-kubernetes ``kubernetes_executor_config.proto``), so the ConfigMap's keys are
read when a run is submitted. Other images get nothing: a password is not for them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from platform_ctl.ir.images import with_image
from platform_ctl.recipe.recipe import PSEUDONYM_KEY
from platform_ctl.settings import KubernetesSettings

SECRET_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_USERNAME",
    "PGPASSWORD",
    PSEUDONYM_KEY,
    "REDIS_PASSWORD",
)
"""Of ``kubernetes.secret``; each is optional, and who submits a run need not read it."""
Document = Mapping[str, Any]


def prepare(
    documents: Sequence[Document], settings: KubernetesSettings, config_keys: Sequence[str]
) -> list[dict[str, Any]]:
    """The documents to submit; ``config_keys`` are the keys of the ConfigMap, if there is one.

    Raises UploadRefused where the image of the settings could stand for two images.
    """
    changed = with_image(documents, settings.image)
    ours = [
        label
        for label, executor in changed[0].get("deploymentSpec", {}).get("executors", {}).items()
        if settings.image and executor.get("container", {}).get("image") == settings.image
    ]
    if not ours:
        return changed
    first, *rest = changed
    platforms = copy.deepcopy(rest[0]) if rest else {"platforms": {}}
    kubernetes = platforms["platforms"].setdefault("kubernetes", {})
    executors = kubernetes.setdefault("deploymentSpec", {}).setdefault("executors", {})
    for label in ours:
        executor = executors.setdefault(label, {})
        if config_keys:
            executor.setdefault("configMapAsEnv", []).append(
                _from_config_map(settings.config_map, config_keys)
            )
        executor.setdefault("secretAsEnv", []).append(_from_secret(settings.secret))
    return [first, platforms]


def _from_config_map(name: str, keys: Sequence[str]) -> dict[str, Any]:
    pairs = [{"configMapKey": key, "envVar": key} for key in sorted(keys)]
    return {**_named("configMapName", name), "keyToEnv": pairs, "optional": True}


def _from_secret(name: str) -> dict[str, Any]:
    pairs = [{"secretKey": key, "envVar": key} for key in SECRET_KEYS]
    return {**_named("secretName", name), "keyToEnv": pairs, "optional": True}


def _named(kind: str, name: str) -> dict[str, Any]:
    """By the deprecated field and by its successor: servers read the newer one."""
    parameter = {"runtimeValue": {"constant": name}}
    return {kind: name, f"{kind}Parameter": parameter}
