"""Doctor's checks of what was recorded with a digest: real files, no process."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from platform_ctl.doctor import stored_bytes
from platform_ctl.doctor.doctor import Health
from platform_ctl.doctor.feature_store import check_feature_stores, damaged_files, set_aside
from platform_ctl.errors import BadPipelineFile, GoldenSetTampered
from platform_ctl.runs.cache.fingerprint import digest_path
from platform_ctl.runs.record import Artifact, Outputs, Run, RunState, Task, TaskState

REGISTRY = b"\x0a\x05hello\x10\x96\x01\x1d\x00\x00\x80\x3f\x21" + bytes(8)
"""A protobuf message with a field of each wire type."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "feast" / "some_recipe"
    folder.mkdir(parents=True)
    (folder / "registry.db").write_bytes(REGISTRY)
    return folder


def test_a_whole_registry_is_whole(store: Path) -> None:
    (check,) = check_feature_stores(store.parent)
    assert check.health is Health.OK


@pytest.mark.parametrize("size", [0, *(n for n in range(1, len(REGISTRY)) if n not in (7, 10, 15))])
def test_a_registry_that_is_cut_inside_a_field_is_named(store: Path, size: int) -> None:
    (store / "registry.db").write_bytes(REGISTRY[:size])
    (check,) = check_feature_stores(store.parent)
    assert check.health is Health.FAIL and str(store / "registry.db") in check.detail
    assert check.fix == "platform-ctl doctor --repair"


def test_what_is_damaged_is_moved_aside(store: Path) -> None:
    online = store / "online.db"
    online.write_bytes(b"no database" * 100)
    assert list(damaged_files(store.parent)) == [online]
    set_aside(damaged_files(store.parent))
    assert sorted(p.name for p in (store / "damaged").iterdir()) == ["online.db"]
    assert not damaged_files(store.parent)


def _raises() -> object:
    raise GoldenSetTampered("the golden set was changed", where="g.json", fix="platform-ctl x")


def test_golden_sets_are_read_and_a_damaged_one_is_named() -> None:
    sound, none, damaged = stored_bytes.check_golden_sets(
        {"a": lambda: object(), "b": lambda: None, "c": _raises}
    )
    assert (sound.health, none.health, damaged.health) == (Health.OK, Health.OK, Health.FAIL)
    assert "g.json" in damaged.detail and damaged.fix == "platform-ctl x"


def _run(folder: Path, artifact: Path) -> Run:
    made = Artifact("rows", str(artifact), "system.Dataset", "0.0.1", digest=digest_path(artifact))
    task = Task(
        "extract", "extract", "comp", TaskState.SUCCEEDED, outputs=Outputs({}, {"r": (made,)})
    )
    return Run("0a1b2c3d", "", "p", RunState.SUCCEEDED, "", str(folder), tasks=(task,))


def _no_pipeline(path: Path) -> object:
    raise BadPipelineFile("malformed", where=str(path))


def test_files_of_a_run_are_compared_with_what_was_recorded(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    rows.write_bytes(b"1,2,3")
    (tmp_path / "pipeline.yaml").write_text("{}")
    run = _run(tmp_path, rows)
    assert hashlib.sha256(b"1,2,3").hexdigest() == run.tasks[0].outputs.artifacts["r"][0].digest
    (whole,) = stored_bytes.check_runs([run], lambda path: None)
    assert whole.health is Health.OK
    rows.write_bytes(b"1,2,4")
    altered, _ = stored_bytes.check_runs([run], lambda path: None)
    assert altered.health is Health.WARN and str(rows) in altered.detail
    rows.unlink()
    gone, _ = stored_bytes.check_runs([run], lambda path: None)
    assert "is gone" in gone.detail and "only a backup" in gone.detail
    rows.write_bytes(b"1,2,3")
    unread, _ = stored_bytes.check_runs([run], _no_pipeline)
    assert "pipeline.yaml" in unread.detail
