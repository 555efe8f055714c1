"""A home whose database is half gone: every command says so, doctor finds it, its fix helps."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from platform_ctl import targets
from platform_ctl.runs.record import RunRequest
from platform_ctl.settings import Settings
from tests.support import ir
from tests.support.commands import platform_ctl

ROOT = Path(__file__).parents[2]
PAGE_BYTES = 4096
PROGRAM = "from platform_ctl.cli.app import main; main()"
COMMANDS = (
    "run list",
    "run show",
    "run why",
    "cache explain",
    "cache verify",
    "approval list",
    "release show weekly-commits",
    "service list",
    "pipeline impact train-deploy",
    "pipeline run train-deploy",
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with runs in it, every record in the file itself."""
    folder = tmp_path_factory.mktemp("damaged")
    home = folder / "home"
    compiled = folder / "add.json"
    compiled.write_bytes(msgspec.json.encode(ir.document()))
    settings = msgspec.structs.replace(Settings(), home=str(home), project_root=str(ROOT))
    for x in range(3):
        targets.orchestrator(settings).run(RunRequest(compiled, {"x": x}), lambda event: None)
    with contextlib.closing(sqlite3.connect(home / "platform.db")) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return home


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(kept, tmp_path / "home")


def half(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def no_header(database: Path) -> None:
    database.write_bytes(b"no database " * 1000)


def empty(database: Path) -> None:
    os.truncate(database, 0)


def flipped(database: Path) -> None:
    """The start of every page but the first: what says what is in it."""
    data = bytearray(database.read_bytes())
    for start in range(PAGE_BYTES, len(data), PAGE_BYTES):
        data[start : start + 64] = bytes(byte ^ 0xFF for byte in data[start : start + 64])
    database.write_bytes(data)


@pytest.mark.parametrize("damage", [half, no_header, empty, flipped])
def test_every_command_says_so_and_doctors_fix_helps(
    home: Path, damage: Callable[[Path], None]
) -> None:
    damage(home / "platform.db")
    for words in COMMANDS:
        done = platform_ctl(home, *words.split())
        assert done.returncode == 2, f"{words}: {done.stderr}"
        assert "(err-home-damaged)" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 4, done.stderr
    done = platform_ctl(home, *["doctor", "-o", "json"])
    assert done.returncode == 1, done.stderr
    (found,) = (c for c in json.loads(done.stdout) if c["name"] == "databases")
    assert found["health"] == "fail"
    subprocess.run(found["fix"], shell=True, check=True)
    assert platform_ctl(home, *["run", "list"]).returncode == 0
    healed = json.loads(platform_ctl(home, *["doctor", "-o", "json"]).stdout)
    assert {c["health"] for c in healed if c["name"] in ("databases", "schema")} == {"ok"}


READS = ("run list", "run show latest", "approval list", "service list", "doctor")


def test_a_full_disk_stops_who_writes_and_nobody_who_reads(home: Path) -> None:
    limited = ["prlimit", "--fsize=1000", *[sys.executable, "-c", PROGRAM, "--home", str(home)]]

    def typed(words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*limited, *words.split()], cwd=ROOT, capture_output=True, text=True, check=False
        )

    for words in READS:
        done = typed(words)
        assert done.returncode == 0 or words == "doctor", done.stderr
        assert done.stderr == ""
    assert typed("run list").stdout.count("SUCCEEDED") == 3
    for words in ("pipeline run train-deploy", "doctor --repair"):
        done = typed(words)
        assert (done.returncode, "(err-disk-full)" in done.stderr) == (4, True), done.stderr
    assert len(platform_ctl(home, "run", "list", "-q").stdout.splitlines()) == 3


def test_one_page_of_records_is_enough_for_doctor(home: Path) -> None:
    """Commands that do not read the page go on; the integrity check reads all of them."""
    database = home / "platform.db"
    with contextlib.closing(sqlite3.connect(database)) as db:
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'").fetchone()[0]
    data = bytearray(database.read_bytes())
    data[(root - 1) * PAGE_BYTES : root * PAGE_BYTES] = os.urandom(PAGE_BYTES)
    database.write_bytes(data)
    assert "(err-home-damaged)" in platform_ctl(home, *["run", "list"]).stderr
    done = platform_ctl(home, "doctor")
    assert done.returncode == 1
    assert "is damaged" in " ".join(done.stdout.split())


def test_a_registry_that_is_damaged_is_found_too(home: Path) -> None:
    (home / "mlflow").mkdir(exist_ok=True)
    no_header(home / "mlflow" / "mlflow.db")
    checks = json.loads(platform_ctl(home, *["doctor", "-o", "json"]).stdout)
    (found,) = (c for c in checks if c["name"] == "databases")
    assert "mlflow.db" in found["detail"] and found["health"] == "fail"
    done = platform_ctl(home, *["model", "list"])
    assert "(err-home-damaged)" in done.stderr and done.returncode == 2
    assert "fix:   platform-ctl doctor" in done.stderr


def test_a_new_home_killed_before_its_first_record_is_no_damaged_one(tmp_path: Path) -> None:
    (tmp_path / "platform.db").touch()
    assert platform_ctl(tmp_path, *["run", "list"]).returncode == 0


def test_without_its_write_ahead_log_the_database_is_what_it_was_before(home: Path) -> None:
    """The log of a killed process is gone: its last records are lost, nothing is damaged."""
    script = (
        "import os, sys; from pathlib import Path; from platform_ctl.home import state\n"
        "db = state.connect(Path(sys.argv[1])); db.execute('DELETE FROM runs')\n"
        "os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(home / "platform.db")], cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    (home / "platform.db-wal").unlink()
    done = platform_ctl(home, *["run", "list", "-o", "json"])
    assert len(json.loads(done.stdout)) == 3
    checks = json.loads(platform_ctl(home, *["doctor", "-o", "json"]).stdout)
    assert {c["health"] for c in checks if c["name"] == "databases"} == {"ok"}
