"""The pod of a step: its image, its run, and the workflow that owns what it makes."""

from __future__ import annotations

from pathlib import Path

from platform_ctl.cluster.owner import OwnPod, own_pod
from tests.fakes.objects import FakeObjects

ENV = {"KFP_POD_NAME": "step-1", "HOSTNAME": "other"}


def in_namespace(tmp_path: Path, name: str) -> Path:
    path = tmp_path / "namespace"
    path.write_text(f"{name}\n")
    return path


def with_pod() -> FakeObjects:
    objects = FakeObjects()
    owner = {"kind": "Workflow", "name": "run", "uid": "u", "blockOwnerDeletion": True}
    objects.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "step-1",
                "labels": {"pipeline/runid": "r"},
                "ownerReferences": [owner],
            },
            "spec": {
                "containers": [{"name": "wait", "image": "w"}, {"name": "main", "image": "m"}]
            },
        }
    )
    return objects


def test_a_step_knows_its_image_its_run_and_its_owner(tmp_path: Path) -> None:
    found = own_pod(with_pod(), ENV, in_namespace(tmp_path, "test"))
    assert (found.image, found.run_id) == ("m", "r")
    assert [(o["name"], o["blockOwnerDeletion"]) for o in found.owners] == [("run", False)]


def test_nothing_owns_what_is_made_in_another_namespace(tmp_path: Path) -> None:
    assert own_pod(with_pod(), ENV, in_namespace(tmp_path, "elsewhere")).owners == []


def test_outside_a_pod_nothing_is_known(tmp_path: Path) -> None:
    assert own_pod(with_pod(), ENV, tmp_path / "missing") == OwnPod()
