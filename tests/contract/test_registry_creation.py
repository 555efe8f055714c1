"""MLflow's database: whole or not there, and made once, whoever is first or killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from platform_ctl import targets
from platform_ctl.errors import HomeDamaged
from platform_ctl.models import mlflow_store
from platform_ctl.settings import Settings

WRITE = """
import sys
from platform_ctl import targets
from platform_ctl.settings import Settings
from platform_ctl.targets.models import prepared_mlflow_uri
from mlflow import MlflowClient
client = MlflowClient(prepared_mlflow_uri(Settings(home=sys.argv[1])))
print(client.get_experiment_by_name("Default").experiment_id)
"""


def writer(home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-c", WRITE, str(home)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def made_anew(home: Path) -> None:
    process = writer(home)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out.strip()) == (0, "0"), err
    assert targets.registry(Settings(home=str(home))).models() == []
    assert not mlflow_store.half_made(home / "mlflow" / "mlflow.db")


def test_three_first_writers_at_once_share_one_database(tmp_path: Path) -> None:
    writers = [writer(tmp_path) for _ in range(3)]
    ended = [(*w.communicate(timeout=180), w.returncode) for w in writers]
    assert [(out.strip(), code) for out, _, code in ended] == [("0", 0)] * 3, ended
    assert sorted(
        p.name for p in (tmp_path / "mlflow").iterdir() if not p.name.startswith(".")
    ) == ["mlflow.db"]


def test_a_kill_in_the_middle_leaves_nothing_that_the_next_one_trips_over(tmp_path: Path) -> None:
    process = writer(tmp_path)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "mlflow").glob(".new-*/mlflow.db")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "mlflow" / "mlflow.db").exists()
    made_anew(tmp_path)
    assert not list((tmp_path / "mlflow").glob(".new-*"))


@pytest.mark.parametrize(
    "statements",
    [
        [],
        ["CREATE TABLE metrics (key TEXT)"],
        ["CREATE TABLE alembic_version (v TEXT)", "CREATE TABLE _alembic_tmp_runs (x INT)"],
        ["CREATE TABLE alembic_version (v TEXT)", "CREATE TABLE experiments (x INT)"],
    ],
    ids=["empty", "some tables", "in a migration", "no default experiment"],
)
def test_what_an_older_version_left_half_made_is_set_aside(
    tmp_path: Path, statements: list[str]
) -> None:
    database = tmp_path / "mlflow" / "mlflow.db"
    database.parent.mkdir()
    with sqlite3.connect(database) as db:
        db.execute("PRAGMA user_version=1")
        for statement in statements:
            db.execute(statement)
    db.close()
    before = database.read_bytes()
    assert targets.registry(Settings(home=str(tmp_path))).models() == []
    assert database.read_bytes() == before, "a reader repairs nothing"
    made_anew(tmp_path)
    assert (database.parent / "damaged" / "mlflow.db").read_bytes() == before


def test_a_half_migrated_database_with_models_is_never_set_aside(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE _alembic_tmp_runs (x INT)")
        db.execute("CREATE TABLE model_versions (x INT)")
        db.execute("INSERT INTO model_versions VALUES (1)")
    db.close()
    with pytest.raises(HomeDamaged, match="holds models") as caught:
        mlflow_store.prepare(database, tmp_path / "artifacts")
    assert str(database) in caught.value.fix
    assert database.exists()
