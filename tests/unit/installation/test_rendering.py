"""What a component renders to: images replaced by the settings, images counted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from platform_ctl.errors import ConfigError
from platform_ctl.installation.components import (
    DIGESTS,
    FOLDER,
    LOCK,
    read_digests,
    read_lock,
)
from platform_ctl.installation.digests import on_nodes
from platform_ctl.installation.rendering import (
    PLATFORM_IMAGE,
    all_containers,
    check_images,
    replaced,
    summary,
    used_image,
    with_settings,
)
from tests.support.served_objects import ServedObjects

ROOT = Path(__file__).resolve().parents[3]
PLATFORM = "registry.example.org/platform@sha256:0"
DIGEST = "sha256:" + "0" * 64
POSTGRES = "docker.io/library/postgres:17.6-bookworm"
IMAGES = {
    POSTGRES: "registry.example.org/postgres@sha256:00",
    "docker.io/": "registry.example.org/hub/",
    "docker.io/library/": "registry.example.org/library/",
}


def deployment(image: str, initial: str = "docker.io/alpine:3.23") -> dict[str, Any]:
    spec = {
        "containers": [{"name": "main", "image": image}],
        "initContainers": [{"name": "first", "image": initial}],
    }
    return {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": {"spec": spec}}}


@pytest.mark.parametrize(
    ("image", "used"),
    [
        (POSTGRES, "registry.example.org/postgres@sha256:00"),
        ("docker.io/library/redis:7", "registry.example.org/library/redis:7"),
        ("docker.io/alpine:3.23", "registry.example.org/hub/alpine:3.23"),
        ("ghcr.io/docker.io/x:1", "ghcr.io/docker.io/x:1"),
    ],
)
def test_the_name_comes_before_the_longest_beginning(image: str, used: str) -> None:
    assert replaced(image, IMAGES) == used


def test_a_route_of_ours_is_attached_to_the_gateway_of_the_settings() -> None:
    route = {
        "kind": "HTTPRoute",
        "metadata": {"name": "mlflow"},
        "spec": {"parentRefs": [{"name": "platform", "namespace": "gateway"}]},
    }
    [found] = with_settings(
        [route], image="", gateway_class="c", gateway="edge", gateway_namespace="network"
    )
    assert found["spec"]["parentRefs"] == [{"name": "edge", "namespace": "network"}]


def test_every_container_gets_the_images_of_the_settings() -> None:
    [found] = with_settings(
        [deployment(PLATFORM_IMAGE)],
        image="example.org/platform:1",
        gateway_class="",
        gateway="",
        images=IMAGES,
    )
    spec = found["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "example.org/platform:1"
    assert spec["initContainers"][0]["image"] == "registry.example.org/hub/alpine:3.23"


def test_a_known_digest_pins_what_no_setting_replaces() -> None:
    digests = {POSTGRES: DIGEST, "example.org/web:1": DIGEST}
    assert used_image("example.org/web:1", IMAGES, digests) == f"example.org/web:1@{DIGEST}"
    assert used_image(POSTGRES, IMAGES, digests) == IMAGES[POSTGRES]
    assert used_image("example.org/other:1", {}, digests) == "example.org/other:1"


def test_only_images_of_components_have_digests_in_the_table(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    shutil.copy(ROOT / LOCK, tmp_path / LOCK)
    for text, sound in (
        ("{}", True),
        (f"{POSTGRES}: {DIGEST}", True),
        (f"{POSTGRES}: sha256:00", False),
        (f"example.org/other:1: {DIGEST}", False),
        ("- list", False),
    ):
        (tmp_path / DIGESTS).write_text(text)
        if sound:
            read_digests(tmp_path)
            continue
        with pytest.raises(ConfigError):
            read_digests(tmp_path)
    assert read_digests(ROOT) is not None


def test_nodes_say_what_a_tag_was_pulled_as() -> None:
    def node(*images: list[str]) -> dict[str, Any]:
        return {"status": {"images": [{"names": names} for names in images]}}

    moved = "sha256:" + "1" * 64
    redis = "docker.io/library/redis"
    nodes = [
        node([f"{redis}@{DIGEST}", f"{redis}:7"], ["localhost/imported:1"]),
        node([f"docker.io/library/mysql@{DIGEST}", "docker.io/library/mysql:8.4"]),
        node([f"docker.io/kserve/x@{DIGEST}", "docker.io/kserve/x:1"]),
        node([f"docker.io/kserve/x@{moved}", "docker.io/kserve/x:1"]),
    ]
    cluster = ServedObjects({"/api/v1/nodes": {"items": nodes}})
    asked = [f"{redis}:7", "mysql:8.4", "kserve/x:1", "localhost/imported:1", "ghcr.io/none:1"]
    assert on_nodes(cluster, asked) == {f"{redis}:7": DIGEST, "mysql:8.4": DIGEST}


def test_images_of_the_initialisation_are_listed_but_request_nothing() -> None:
    found = summary([deployment("example.org/web:1")])
    assert found.images == ["docker.io/alpine:3.23", "example.org/web:1"]
    assert (found.cpu_m, found.memory_mib) == (0, 0)


def test_a_replacement_for_an_image_that_no_component_has_is_refused() -> None:
    known = {image for rendered in read_lock(ROOT).values() for image in rendered.images}
    check_images({POSTGRES: "x", "docker.io/": "y/"}, known)
    for wrong in ("docker.io/library/postgres:1", "registry.example.org/", "docker.io"):
        with pytest.raises(ConfigError) as refused:
            check_images({wrong: "x"}, known)
        assert wrong in refused.value.what


def cron_job() -> dict[str, Any]:
    def container(name: str) -> dict[str, Any]:
        env = [{"name": "PLATFORM_CTL_KUBERNETES__IMAGE", "value": PLATFORM_IMAGE}]
        return {"name": name, "image": PLATFORM_IMAGE, "env": env}

    pod = {"initContainers": [container("clone")], "containers": [container("apply")]}
    template = {"spec": {"template": {"spec": pod}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "reconciler"},
        "spec": {"schedule": "* * * * *", "jobTemplate": template},
    }


def test_containers_of_the_initialisation_get_the_image_too() -> None:
    (document,) = with_settings([cron_job()], image=PLATFORM, gateway_class="c", gateway="g")
    assert [c["image"] for c in all_containers(document)] == [PLATFORM, PLATFORM]


def test_a_workload_without_an_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="reconciler runs the platform's image"):
        with_settings([cron_job()], image="", gateway_class="c", gateway="g")
