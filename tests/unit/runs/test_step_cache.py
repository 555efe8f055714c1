"""The step cache on real files: verified hits, quarantine, full disks."""

import errno
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_ctl.runs.cache import object_store
from platform_ctl.runs.cache.key import ABSENT, compute
from platform_ctl.runs.cache.values import Hit, Miss
from platform_ctl.runs.record import Artifact, Outputs
from tests.support.step_cache import KEY, OLD, STEP, Home


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    yield made
    made.db.close()


def test_miss_store_hit(home):
    assert home.lookup("a") == Miss("no earlier result of this component")
    home.write("a")
    stored = home.store("a", parameters={"x": 1, "y": 1.5, "z": float("inf"), "s": "\ud800"})
    assert stored.warning == ""
    found = home.lookup("b")
    assert isinstance(found, Hit)
    assert (found.run_id, found.task, found.wall_s, found.cpu_s) == ("a", "make", 2.0, 1.0)
    assert found.outputs.parameters == stored.outputs.parameters
    assert type(found.outputs.parameters["x"]) is int
    (artifact,) = found.outputs.artifacts["out"]
    assert artifact == replace(stored.outputs.artifacts["out"][0], uri=str(home.place("b")))
    assert home.place("b").read_bytes() == b"bytes"
    assert home.leftovers() == []


def test_a_file_has_the_digest_sha256sum_prints(home):
    home.write("a", b"")
    (artifact,) = home.store("a").outputs.artifacts["out"]
    assert artifact.digest == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_directory_comes_back_whole(home):
    folder = home.place("a")
    (folder / "deep" / "empty").mkdir(parents=True)
    (folder / "deep" / "file").write_text("x")
    (folder / "link").symlink_to("deep/file")
    home.store("a")
    found = home.lookup("b")
    assert isinstance(found, Hit)
    assert sorted(str(p.relative_to(home.place("b"))) for p in home.place("b").rglob("*")) == [
        "deep",
        "deep/empty",
        "deep/file",
        "link",
    ]
    assert os.readlink(home.place("b") / "link") == "deep/file"


def test_an_artifact_that_was_never_written_is_a_result_too(home):
    (artifact,) = home.store("a").outputs.artifacts["out"]
    assert artifact.digest == ABSENT
    assert isinstance(home.lookup("b"), Hit)
    assert not home.place("b").exists()


def test_bytes_elsewhere_keep_their_address(home):
    artifact = Artifact("out", "s3://bucket/model")
    home.cache.store(
        KEY, Outputs({}, {"out": (artifact,)}), run_id="a", task="make", wall_s=0, cpu_s=0
    )
    found = home.lookup("b")
    assert isinstance(found, Hit)
    assert found.outputs.artifacts["out"][0].uri == "s3://bucket/model"


def test_what_lay_at_the_place_is_replaced(home):
    home.write("a")
    home.store("a")
    home.write("b", b"half an output")
    home.lookup("b")
    assert home.place("b").read_bytes() == b"bytes"


# ---- checks -----------------------------------------------------------------


def test_an_untouched_artifact_is_not_read_again(home, monkeypatch):
    home.write("a")
    home.store("a")
    assert isinstance(home.lookup("b"), Hit)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("the artifact was read"))
    assert isinstance(home.lookup("c"), Hit)


@pytest.mark.parametrize("owner", ["a", "b"])
def test_an_artifact_edited_in_place_is_quarantined_not_served(home, owner):
    home.write("a")
    home.store("a")
    home.lookup("b")
    home.place(owner).write_bytes(b"BYTES")
    found = home.lookup("c")
    assert isinstance(found, Miss)
    assert found.reason == "quarantined: artifact out is not what was stored (its bytes changed)"
    assert "'out' of make (run a)" in found.warning
    assert not home.place("c").exists()
    (kept,) = (home.root / "cache" / "quarantine").iterdir()
    assert (kept / "data").read_bytes() == b"BYTES"
    again = home.lookup("c")
    assert isinstance(again, Miss) and again.reason.startswith("earlier result was quarantined")
    home.place("c").parent.mkdir(parents=True, exist_ok=True)
    home.write("c")
    home.store("c")
    assert isinstance(home.lookup("d"), Hit)


def test_an_artifact_replaced_by_rename_leaves_the_cache_alone(home):
    home.write("a")
    home.store("a")
    other = home.write("elsewhere", b"other")
    other.replace(home.place("a"))
    assert isinstance(home.lookup("b"), Hit)
    assert home.place("b").read_bytes() == b"bytes"


def test_a_file_added_to_a_cached_directory_is_found(home):
    home.place("a").mkdir(parents=True)
    (home.place("a") / "one").write_text("1")
    digest = home.store("a").outputs.artifacts["out"][0].digest
    (home.cache._objects.path(digest) / "two").write_text("2")
    found = home.lookup("b")
    assert isinstance(found, Miss) and "quarantined: artifact out" in found.reason


def test_a_missing_object_is_a_miss_with_a_warning(home):
    home.write("a")
    home.store("a")
    shutil.rmtree(home.root / "cache" / "objects")
    found = home.lookup("b")
    assert isinstance(found, Miss)
    assert found.reason == "quarantined: artifact out is missing"
    assert "'out' of make (run a) is missing; the task runs again" in found.warning


def test_new_stamps_on_the_same_bytes_are_a_hit(home):
    path = home.write("a")
    home.store("a")
    os.utime(path, (OLD + 5, OLD + 5))
    assert isinstance(home.lookup("b"), Hit)


def test_a_change_in_the_clock_tick_of_the_store_is_seen(home):
    path = home.place("a")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"bytes")
    stamp = path.stat()
    home.store("a")
    path.write_bytes(b"BYTES")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert isinstance(home.lookup("b"), Miss)


def test_removing_the_run_leaves_the_hit(home):
    home.write("a")
    home.store("a")
    shutil.rmtree(home.place("a").parent)
    assert isinstance(home.lookup("b"), Hit)


@settings(max_examples=30)
@given(content=st.binary(min_size=1, max_size=50), data=st.data())
def test_any_changed_byte_is_found(tmp_path_factory, content, data):
    home = Home(tmp_path_factory.mktemp("home"))
    home.write("a", content)
    home.store("a")
    at = data.draw(st.integers(0, len(content) - 1))
    flipped = content[at] ^ data.draw(st.integers(1, 255))
    home.place("a").write_bytes(content[:at] + bytes([flipped]) + content[at + 1 :])
    assert isinstance(home.lookup("b"), Miss)
    home.db.close()


# ---- decisions ----------------------------------------------------------------


def test_decisions_are_recorded_with_the_nearest_entry(home):
    home.write("a")
    home.store("a", compute(replace(STEP, parameters={"n": 1, "m": 2})))
    home.store("a", compute(replace(STEP, image="other", parameters={"n": 7, "m": 5})))
    home.lookup("b", compute(replace(STEP, parameters={"n": 2, "m": 2})))
    home.cache.bypass(run_id="b", task="effect", reason="caching is off for this task")
    miss, bypass = home.cache.decisions("b")
    assert (miss.decision, miss.reason) == ("MISS", "parameters.n: 1 -> 2")
    assert (miss.source_run_id, miss.source_task) == ("a", "make")
    assert [str(c) for c in miss.changes] == ["parameters.n: 1 -> 2"]
    assert (bypass.decision, bypass.key) == ("BYPASS", "")
    home.lookup("c")
    home.store("a")
    home.lookup("c")
    (hit,) = home.cache.decisions("c")
    assert (hit.decision, hit.source_run_id, hit.fingerprint) == ("HIT", "a", KEY.fingerprint)


def test_the_decision_is_the_same_under_another_root(tmp_path):
    for name in ("one", "some/other/two"):
        home = Home(tmp_path / name)
        home.write("a")
        digest = home.store("a").outputs.artifacts["out"][0].digest
        key = compute(
            replace(STEP, artifacts={"in": (home_input(digest),)}),
        )
        assert isinstance(home.lookup("b"), Hit)
        assert key.digest == compute(replace(STEP, artifacts={"in": (home_input(digest),)})).digest
        home.db.close()


def home_input(digest):
    from platform_ctl.runs.cache.key import KeyedArtifact

    return KeyedArtifact(digest=digest)


# ---- keeping house ------------------------------------------------------------


def test_verify_reads_everything(home):
    for run, n in (("a", 1), ("b", 2)):
        home.write(run, run.encode())
        home.store(run, compute(replace(STEP, parameters={"n": n})))
    assert home.cache.verify().quarantined == ()
    path = home.place("b")
    path.write_bytes(b"B")
    os.utime(path, (OLD, OLD))  # the stamp is as before: only reading finds it
    report = home.cache.verify()
    assert (report.entries, report.artifacts) == (2, 2)
    (bad,) = report.quarantined
    assert (bad.run_id, bad.artifact) == ("b", "out")
    assert home.cache.verify().quarantined == ()


def test_prune_by_size_drops_the_least_recently_used(home):
    keys = [compute(replace(STEP, parameters={"n": n})) for n in range(3)]
    for n, key in enumerate(keys):
        home.write(str(n), bytes([n]) * 1000)
        home.store(str(n), key)
    home.lookup("again", keys[0])
    report = home.cache.prune(older_than=None, max_size_bytes=2500)
    assert (report.entries, report.freed_bytes, report.kept_bytes) == (1, 1000, 2000)
    hits = [isinstance(home.lookup("z", key), Hit) for key in keys]
    assert hits == [True, False, True]
    assert home.leftovers() == []


def test_prune_by_age_keeps_what_was_used(home):
    home.write("a")
    home.store("a")
    assert home.cache.prune(older_than=timedelta(hours=1), max_size_bytes=None).entries == 0
    report = home.cache.prune(older_than=timedelta(0), max_size_bytes=None)
    assert (report.entries, report.kept_entries, report.kept_bytes) == (1, 0, 0)
    assert list((home.root / "cache" / "objects").rglob("data")) == []
    assert home.place("a").read_bytes() == b"bytes"


def test_shared_bytes_stay_until_the_last_entry_goes(home):
    old, new = (compute(replace(STEP, parameters={"n": n})) for n in (1, 2))
    home.write("a")
    home.store("a", old)
    home.store("a", new)
    home.db.execute("UPDATE cache_entries SET used_at = '2000' WHERE key = ?", (old.digest,))
    report = home.cache.prune(older_than=timedelta(days=1), max_size_bytes=None)
    assert (report.entries, report.freed_bytes) == (1, 0)
    assert isinstance(home.lookup("b", new), Hit)


# ---- faults -------------------------------------------------------------------


@pytest.mark.parametrize("at", ["link", "mkdir"])
def test_a_full_disk_leaves_no_half_entry_and_does_not_fail_the_step(home, monkeypatch, at):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = home.place("a")
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    with monkeypatch.context() as patch:
        if at == "link":
            patch.setattr(object_store.os, "link", full)
        else:
            patch.setattr(object_store.Path, "mkdir", full)
        stored = home.store("a")
    assert "could not be kept in the cache" in stored.warning
    assert len(stored.outputs.artifacts["out"][0].digest) == 64
    assert home.leftovers() == []
    assert isinstance(home.lookup("b"), Miss)


def test_a_full_database_leaves_no_half_entry(home):
    home.write("a")
    pages = home.db.execute("PRAGMA page_count").fetchone()[0]
    home.db.execute(f"PRAGMA max_page_count={pages}")
    stored = home.store("a", parameters={"big": "x" * 1_000_000})
    home.db.execute("PRAGMA max_page_count=1000000")
    assert "could not be kept" in stored.warning
    assert isinstance(home.lookup("b"), Miss)


def test_files_that_cannot_be_linked_are_copied(home, monkeypatch):
    def no_links(*_args, **_kwargs):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(object_store.os, "link", no_links)
    home.write("a")
    home.store("a")
    home.place("a").write_bytes(b"BYTES")
    assert isinstance(home.lookup("b"), Hit)
    assert home.place("b").read_bytes() == b"bytes"
