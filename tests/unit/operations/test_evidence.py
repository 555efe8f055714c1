"""The evidence pack: complete, deterministic, and any flipped byte is named."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from platform_ctl import targets
from platform_ctl.domain import evidence
from platform_ctl.operations.evidence import pack_file, verify_pack, write_pack
from platform_ctl.operations.register import register_model
from platform_ctl.settings import Settings
from recipes.train_deploy.recipe import RECIPE
from tests.support.candidates import PASSED, write_candidate

FILES = {"a.json": b"{}", "deep/er/b.bin": bytes(range(256)) * 9, "empty": b""}


def test_a_pack_is_deterministic_and_complete():
    content = evidence.pack(FILES)
    assert content == evidence.pack(dict(reversed(FILES.items())))
    unpacked = evidence.unpack(content)
    assert {k: v for k, v in unpacked.items() if k != evidence.MANIFEST} == FILES
    assert evidence.check(content, evidence.checksum_line(content, "x.tar")) == []


def test_any_flipped_byte_is_noticed_and_the_file_is_named():
    content = evidence.pack(FILES)
    line = evidence.checksum_line(content, "x.tar")
    rng = random.Random(0)
    for position in [*range(0, len(content), 512), *rng.sample(range(len(content)), 300)]:
        broken = bytearray(content)
        broken[position] ^= 1 << rng.randrange(8)
        assert evidence.check(bytes(broken), line), position
    start = content.index(FILES["deep/er/b.bin"])
    broken = content[:start] + b"\xff" + content[start + 1 :]
    assert evidence.check(broken, line) == ["deep/er/b.bin was altered"]


class World:
    def __init__(self, folder: Path) -> None:
        settings = Settings(home=str(folder / "home"))
        self.packs = targets.evidence_dir(settings)
        self.registry = targets.registry(settings)
        self.approvals = targets.approvals(settings)
        model_dir, evaluation_dir = write_candidate(folder / "candidate", seed=1)
        (folder / "search").write_text('{"trials": 20}')
        self.version = register_model(
            self.registry,
            recipe=RECIPE,
            model_dir=model_dir,
            evaluation_dir=evaluation_dir,
            decision=PASSED,
            provenance={"data_snapshot": "4711"},
            attachments={"search.json": folder / "search"},
        )

    def pack(self) -> Path:
        records = {"canary.json": [{"weight_percent": 10, "verdict": "successful"}]}
        return write_pack(self.registry, self.approvals, self.version, self.packs, records=records)

    def problems(self) -> list[str]:
        return verify_pack(self.registry, self.version, self.packs)[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def test_without_a_pack_the_registered_files_are_checked(world):
    assert world.problems() == []


def test_the_pack_holds_what_it_should_and_verifies(world):
    names = set(evidence.unpack(world.pack().read_bytes()))
    assert names >= {
        "manifest.json",
        "version.json",
        "canary.json",
        "search.json",
        "evaluation/evaluation.json",
        "model/MLmodel",
        "model/data/model/model.safetensors",
    }
    assert world.problems() == []


def test_a_flipped_byte_in_the_pack_is_named(world):
    target = world.pack()
    content = target.read_bytes()
    at = content.index(b'{"trials": 20}')
    target.write_bytes(content[:at] + b"[" + content[at + 1 :])
    assert world.problems() == [f"{target.name}: search.json was altered"]
    assert pack_file(world.packs, world.version) == target


def test_a_flipped_byte_in_the_registry_is_named(world):
    world.pack()
    file = world.registry.local_dir(world.version, "evaluation") / "evaluation.json"
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"schema": 1', b'"schema": 2'))
    try:
        assert world.problems() == ["the evaluation of weekly-commits/1 was altered"]
    finally:
        file.write_bytes(content)


def test_lineage_in_the_pack_is_checked_against_the_version(world):
    run_id = "a1111111-0000-4000-8000-000000000000"
    assert world.version.tags.get("run_id", "") == ""
    other = [{"eventType": "COMPLETE", "run": {"runId": run_id, "facets": {}}}]
    records = {"lineage.json": other}
    write_pack(world.registry, world.approvals, world.version, world.packs, records=records)
    (told,) = world.problems()
    assert f"its lineage is of run {run_id}" in told
    world.pack()
    assert world.problems() == []
