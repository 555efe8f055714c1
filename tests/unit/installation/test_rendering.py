"""Settings in rendered manifests: the platform's image wherever a pod runs it."""

from __future__ import annotations

from typing import Any

import pytest

from platform_ctl.errors import ConfigError
from platform_ctl.installation.rendering import PLATFORM_IMAGE, all_containers, with_settings

IMAGE = "registry.example.org/platform@sha256:0"


def cron_job() -> dict[str, Any]:
    def container(name: str) -> dict[str, Any]:
        return {"name": name, "image": PLATFORM_IMAGE}

    pod = {"initContainers": [container("clone")], "containers": [container("apply")]}
    template = {"spec": {"template": {"spec": pod}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "reconciler"},
        "spec": {"schedule": "* * * * *", "jobTemplate": template},
    }


def test_containers_of_the_initialisation_get_the_image_too() -> None:
    (document,) = with_settings([cron_job()], image=IMAGE, gateway_class="c", gateway="g")
    assert [c["image"] for c in all_containers(document)] == [IMAGE, IMAGE]


def test_a_workload_without_an_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="reconciler runs the platform's image"):
        with_settings([cron_job()], image="", gateway_class="c", gateway="g")
