"""The evidence pack: complete, deterministic, and any flipped byte is named."""

from __future__ import annotations

import io
import json
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_ctl import targets
from platform_ctl.evidence import pack as evidence
from platform_ctl.evidence.verify import verify_file, verify_version
from platform_ctl.evidence.write import pack_file, write_pack
from platform_ctl.models.register import register_model
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
    (named,) = evidence.check(content[: start + 40] + b"\xfe" + content[start + 41 :], line)
    assert named == "deep/er/b.bin was altered"
    broken = content[:start] + b"\xff" + content[start + 1 :]
    assert evidence.check(broken, line) == ["deep/er/b.bin was altered"]


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def line_of(content: bytes) -> str:
    """The checksum that whoever alters an archive writes beside it."""
    return evidence.checksum_line(content, "x.tar")


def test_a_flipped_byte_in_every_member_is_named_and_nothing_else_is():
    """First, middle and last byte of each; the checksum file follows, as a forger's would."""
    content = evidence.pack(FILES)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = [(m.name, m.offset_data, m.size) for m in tar]
    assert {name for name, *_ in members} == {evidence.MANIFEST, *FILES}
    for name, start, size in members:
        for at in {start, start + size // 2, start + size - 1} if size else ():
            broken = flipped(content, at)
            for line in (line_of(content), line_of(broken)):
                assert evidence.check(broken, line) == [f"{name} was altered"], (name, at - start)


def test_an_archive_cut_short_anywhere_is_noticed():
    content = evidence.pack(FILES)
    for size in [*range(0, len(content), 256), len(content) - 1]:
        cut = content[:size]
        assert evidence.check(cut, line_of(cut)), size


def with_member(
    content: bytes, name: str, kind: bytes = tarfile.REGTYPE, target: str = ""
) -> bytes:
    buffer = io.BytesIO(content)
    with tarfile.open(fileobj=buffer, mode="a", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        member.size = 4 if kind == tarfile.REGTYPE else 0
        tar.addfile(member, io.BytesIO(b"evil"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("member", "told"),
    [
        (("foreign.txt",), "foreign.txt was added"),
        (("a.json",), "a.json is there twice"),
        (("manifest.json",), "manifest.json is there twice"),
        (("link", tarfile.SYMTYPE, "/etc/passwd"), "link was added, and is no file"),
        (("hard", tarfile.LNKTYPE, "a.json"), "hard was added, and is no file"),
        (("folder", tarfile.DIRTYPE), "folder was added, and is no file"),
        (("pipe", tarfile.FIFOTYPE), "pipe was added, and is no file"),
        (("../../up.txt",), "../../up.txt was added, and leads out of the archive"),
        (("/abs.txt",), "/abs.txt was added, and leads out of the archive"),
    ],
)
def test_a_member_that_was_not_packed_is_named(member, told):
    broken = with_member(evidence.pack(FILES), *member)
    assert evidence.check(broken, line_of(broken))[0] == told
    if told != "foreign.txt was added":
        with pytest.raises(ValueError, match=r"twice|added"):
            evidence.unpack(broken)


def test_a_header_or_what_follows_the_archive_is_noticed_whatever_the_checksum_says():
    content = evidence.pack(FILES)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        other_mode = content.replace(b"0000644", b"0000777", 1)
        second = list(tar)[1].offset
    assert evidence.check(other_mode, line_of(other_mode))
    for broken in (content + b"\0" * 512, flipped(content, second + 300)):
        assert evidence.check(broken, line_of(broken)) != []


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b'{"schema": 2, "files": {}}', b"\xff"])
def test_a_manifest_that_is_none_is_named(manifest):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(manifest)
        tar.addfile(member, io.BytesIO(manifest))
    content = buffer.getvalue()
    assert evidence.check(content, line_of(content)) == ["manifest.json was altered"]


@pytest.mark.parametrize(("schema", "lacks"), [(1, []), (2, ["the lineage (lineage.json)"])])
def test_a_pack_from_before_lineage_lacks_nothing(schema, lacks):
    manifest = json.dumps({"schema": schema, "files": {}}).encode()
    files = {evidence.MANIFEST: manifest, **dict.fromkeys(evidence.MEMBERS, b"")}
    del files["lineage.json"]
    assert evidence.absent(files) == ["the lineage (lineage.json)"]
    assert evidence.lacking(files) == lacks


@pytest.mark.parametrize("content", [b"", b"no tar", bytes(2048), b"\xff" * 4096])
def test_what_is_no_archive_is_no_traceback(content):
    assert evidence.check(content, line_of(content))


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text("abc/.", min_size=1).filter(
            lambda n: n.strip("/.") == n and "//" not in n and ".." not in n
        ),
        st.binary(),
    ),
    st.data(),
)
def test_whatever_is_packed_comes_back_and_no_byte_can_be_another(files, data):
    files.pop(evidence.MANIFEST, None)
    content = evidence.pack(files)
    found = evidence.unpack(content)
    assert {n: c for n, c in found.items() if n != evidence.MANIFEST} == files
    assert evidence.check(content, line_of(content)) == []
    broken = flipped(content, data.draw(st.integers(0, len(content) - 1)))
    assert evidence.check(broken, line_of(broken))


class World:
    def __init__(self, folder: Path) -> None:
        home = Settings(home=str(folder / "home"))
        self.packs = targets.evidence_dir(home)
        self.registry = targets.registry(home)
        self.approvals = targets.approvals(home)
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
        return verify_version(self.registry, self.version, self.packs).problems


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
    file.write_bytes(content.replace(b'"schema"', b'"schemA"'))
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


def repacked(world, target: Path, change) -> Path:
    """The pack after ``change`` to its files, with a manifest and a checksum that fit."""
    files = evidence.unpack(target.read_bytes())
    del files[evidence.MANIFEST]
    change(files)
    content = evidence.pack(files)
    target.write_bytes(content)
    Path(f"{target}.sha256").write_text(evidence.checksum_line(content, target.name))
    return target


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model/data/model/model.safetensors", "the packed model is not the one"),
        ("evaluation/evaluation.json", "the packed evaluation is not the one"),
        ("version.json", "cannot be read"),
    ],
)
def test_a_pack_that_was_made_anew_around_other_contents_is_seen_through(world, name, told):
    def change(files):
        files[name] = files[name][:-1] + b"?"

    target = repacked(world, world.pack(), change)
    assert any(told in sentence for sentence in verify_file(target).problems)
    assert any(told in sentence for sentence in world.problems())


def test_a_pack_of_another_version_is_seen_through(world):
    def change(files):
        files["version.json"] = files["version.json"].replace(b'"version": "1"', b'"version": "7"')

    repacked(world, world.pack(), change)
    assert world.problems() == ["the pack is of weekly-commits/7"]


def test_a_pack_alone_is_checked_and_says_what_it_does_not_hold(world):
    found = verify_file(world.pack())
    assert found.problems == []
    assert "the lineage (lineage.json)" in found.absent
    assert "the canary's log (canary.json)" not in found.absent
