"""What a release reads when it goes on elsewhere: on a cluster each step has a disk of its own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from platform_ctl.releases.release import Evidence
from platform_ctl.releases.target import evidence_here, features_of
from platform_ctl.serving.service import Revision
from tests.unit.releases.test_release import World

ELSEWHERE = Evidence("/of/another/pod/rows.parquet", "/of/another/pod")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path, "1")
    folder = tmp_path / "registered"
    folder.mkdir()
    inputs = json.dumps([{"name": "a"}, {"name": "c"}])
    (folder / "MLmodel").write_text(yaml.safe_dump({"signature": {"inputs": inputs}}))
    made.registry.dirs = {version: folder for version in made.registry.dirs}
    return made


def test_evidence_of_another_machine_comes_from_the_registry(world: World, tmp_path: Path) -> None:
    release = world.start()
    target = dataclasses.replace(release.target, evidence=ELSEWHERE)
    found = evidence_here(world.registry, dataclasses.replace(release, target=target))
    folder = tmp_path / "registered"
    assert found == Evidence(str(folder / "rows.parquet"), str(folder))


def test_evidence_of_this_machine_and_none_at_all_stay(world: World, tmp_path: Path) -> None:
    release = world.start()
    for kept in (Evidence(), Evidence(str(tmp_path / "rows.parquet"), str(tmp_path))):
        target = dataclasses.replace(release.target, evidence=kept)
        assert evidence_here(world.registry, dataclasses.replace(release, target=target)) == kept


def test_features_of_a_revision_that_was_made_elsewhere(world: World) -> None:
    release = world.start()
    elsewhere = Revision("v1", "/of/another/pod", "1", "", "s3://models/1")
    assert features_of(world.registry, release, elsewhere) == ("a", "c")
    assert features_of(world.registry, release, Revision("v1", "/nowhere")) == ()
