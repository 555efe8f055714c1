"""Damage of every kind to a home with a finished, promoted run: who names it, and what helps.

For each kind: ``doctor`` says what is damaged, where, and the command that helps; the command that
meets it says so in four lines; the command that ``doctor`` prints is typed, and ``doctor`` is
content afterwards, or said beforehand that only a backup has what is lost. Paths in databases are
absolute, so every kind is done to the one home, which is put back first.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ("-p", "max_trials=2", "-p", "epochs=2")
MODEL = "weekly-commits"
FILES = "mlflow/artifacts/train_deploy/models/*/artifacts"


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _flip(path: Path) -> None:
    """One bit, behind the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) * 6 // 10] ^= 1
    path.write_bytes(content)


def _add_code(path: Path) -> None:
    executed = path.parent / "executed"
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\nopen({str(executed)!r}, 'w').close()\n")


def _garbage_in(table: str) -> Callable[[Path], None]:
    """Overwrite the first page of a table."""

    def damage(path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path)) as db:
            query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
            page = db.execute(query, (table,)).fetchone()[0]
            size = db.execute("PRAGMA page_size").fetchone()[0]
        with path.open("r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xff" * size)

    return damage


@dataclass(frozen=True)
class Kind:
    """One kind of damage. ``file``: a pattern below the home, of which the largest file is hit."""

    name: str
    file: str
    damage: Callable[[Path], None]
    check: str
    """Name of the check of doctor that says it."""
    meets: str
    """A command that meets it."""
    code: int
    """Its exit code."""
    says: str
    """What it says, on stderr, or on stdout where the answer is no (exit code 1); "" for
    nothing."""
    mends: bool = True
    """Whether doctor's command brings back what was damaged, or moves it out of the way."""
    deep: bool = False
    """Whether only ``doctor --deep`` reads those bytes."""


DAMAGED = "(err-home-damaged)"
ALTERED = "(err-evidence-mismatch)"
TABLE = "iceberg/warehouse/abukix/commits"
RUN = f"pipeline run train-deploy {' '.join(SMALL)}"
KINDS = (
    Kind("iceberg metadata cut", f"{TABLE}/metadata/00001-*.metadata.json", _cut,
         "iceberg", "data show", 2, DAMAGED),
    Kind("iceberg manifest list emptied", f"{TABLE}/metadata/snap-*.avro", _empty,
         "iceberg", "data show", 2, DAMAGED),
    Kind("iceberg manifest emptied", f"{TABLE}/metadata/*-m0.avro", _empty,
         "iceberg", "data show", 2, DAMAGED),
    Kind("parquet bit", f"{TABLE}/data/*/*.parquet", _flip, "iceberg", RUN, 2, DAMAGED),
    Kind("digests of parquet cut", f"{TABLE}/metadata/digests-*.json", _cut,
         "iceberg", "data audit", 2, DAMAGED),
    Kind("iceberg catalog cut", "iceberg/catalog.db", _cut,
         "databases", "data show", 2, DAMAGED),
    Kind("spec.json cut", "services/*/spec.json", _cut,
         "services", f"service start {MODEL}", 2, DAMAGED),
    Kind("options.json cut", "services/*/options.json", _cut,
         "services", "service list", 0, ""),
    Kind("golden set bit", "golden/train_deploy/[0-9a-f]*.json", _flip,
         "golden set", "data golden show", 5, "(err-golden-tampered)"),
    Kind("golden pin cut", "golden/train_deploy/pin.json", _cut,
         "golden set", RUN, 5, "(err-golden-tampered)"),
    Kind("feast online store cut", "feast/*/online.db", _cut,
         "feature store", "service start", 0, "DatabaseError"),
    Kind("feast registry cut", "feast/*/abukix.db", _cut,
         "feature store", "service start", 0, "DecodeError"),
    Kind("cache object bit", "cache/objects/*/*/data", _flip,
         "cache", "cache verify", 1, "is not what was stored"),
    Kind("evidence pack bit", "evidence/*.tar", _flip,
         "evidence", f"model verify {MODEL}/1", 1, "was altered", mends=False),
    Kind("weights bit", f"{FILES}/data/model/model.safetensors", _flip,
         "models", f"model predict {MODEL}@production", 5, ALTERED),
    Kind("line of model code", f"{FILES}/code/predictor_*.py", _add_code,
         "models", f"model predict {MODEL}@production", 5, ALTERED),
    Kind("MLmodel cut", f"{FILES}/MLmodel", _cut,
         "models", f"service start {MODEL}", 5, ALTERED),
    Kind("evaluation bit", "mlflow/artifacts/*/*/artifacts/evaluation/rows.parquet", _flip,
         "models", f"model verify {MODEL}/1", 1, "was altered"),
    Kind("platform.db cut", "platform.db", _cut, "databases", "run list", 2, DAMAGED),
    Kind("platform.db page of runs", "platform.db", _garbage_in("runs"),
         "databases", RUN, 2, DAMAGED),
    Kind("platform.db page of approvals", "platform.db", _garbage_in("approvals"),
         "databases", "approval list", 2, DAMAGED),
    Kind("mlflow.db cut", "mlflow/mlflow.db", _cut, "databases", "model list", 2, DAMAGED),
    Kind("pipeline of a run cut", "runs/*/pipeline.yaml", _cut,
         "run files", "run why TRAINED", 2, DAMAGED, mends=False, deep=True),
    Kind("artifact of a run cut", "runs/*/tasks/gate/outputs/decision", _cut,
         "run files", "cache verify", 1, "is not what was stored", mends=False, deep=True),
)  # fmt: skip


@dataclass(frozen=True)
class Home:
    path: Path
    kept: Path
    trained: str
    """Id of the run that made the model."""

    def restore(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        subprocess.run(["cp", "-a", self.kept, self.path], check=True)  # with its hard links

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return _typed(self.path, *words)

    def doctor(self, *words: str) -> tuple[int, list[dict[str, str]]]:
        """Exit code, and every check that is not ok."""
        done = self.run("doctor", "-o", "json", *words)
        assert done.stderr == "", done.stderr
        return done.returncode, [c for c in json.loads(done.stdout) if c["health"] != "ok"]

    def bytes(self) -> dict[str, bytes]:
        """Every file but the log and shared memory that SQLite keeps for readers, too."""
        return {
            str(file.relative_to(self.path)): file.read_bytes()
            for file in self.path.rglob("*")
            if file.is_file() and not file.name.endswith(("-wal", "-shm"))
        }


def _typed(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from platform_ctl.cli.app import main; main()", *words],
        cwd=ROOT,
        env=_environment(home),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )


def _environment(home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PLATFORM_HOME": str(home),
        "PLATFORM_CTL_SERVING__PORT": "0",
    }


@pytest.fixture(scope="session")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose model was trained, approved and promoted; its service is stopped."""
    folder = tmp_path_factory.mktemp("damage")
    home = folder / "home"

    def done(*words: str) -> str:
        made = _typed(home, *words)
        assert made.returncode == 0, f"{words}: {made.stderr}"
        return made.stdout

    done("data", "ingest", "--sample")
    done("pipeline", "run", "train-deploy", *SMALL)
    (request,) = json.loads(done("approval", "list", "-o", "json"))
    done("approval", "approve", request["id"], "--reason", "good", "--wait")
    done("service", "stop", MODEL)
    trained = next(
        r for r in json.loads(done("run", "list", "-o", "json")) if r["pipeline"] == "train-deploy"
    )
    kept = folder / "kept"
    shutil.move(home, kept)
    yield Home(home, kept, trained["id"])
    if (home / "services").is_dir():
        _typed(home, "service", "stop", MODEL)


@pytest.fixture
def home(promoted: Home) -> Iterator[Home]:
    promoted.restore()
    yield promoted
    if next(promoted.path.glob("services/*/process.json"), None):
        promoted.run("service", "stop", MODEL)


def _hit(home: Home, kind: Kind) -> Path:
    """Do the damage; the file. Of runs it is the one that trained."""
    pattern = kind.file.replace("runs/*", f"runs/{home.trained}")
    path = max(home.path.glob(pattern), key=lambda p: p.stat().st_size)
    kind.damage(path)
    return path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damage_is_named_and_the_printed_command_helps(home: Home, kind: Kind) -> None:
    path = _hit(home, kind)
    before = home.bytes()
    deep = ["--deep"] if kind.deep else []
    code, found = home.doctor(*deep)
    assert home.bytes() == before, "a look changes nothing"
    named = [c for c in found if c["name"] == kind.check]
    assert named, found
    place = f"{MODEL}/1" if kind.check in ("models", "evidence") else _below(home, path)
    assert any(place in c["detail"] for c in named), named
    assert code == (1 if any(c["health"] == "fail" for c in found) else 0)

    _meets_it(home, kind)

    fix = named[0]["fix"]
    assert fix
    if not kind.mends:
        assert "only a backup" in named[0]["detail"]
        return
    typed = subprocess.run(
        fix, shell=True, cwd=ROOT, env=_environment(home.path), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert typed.returncode == 0, typed.stderr
    code, left = home.doctor(*deep)
    assert not [c for c in left if c["name"] == kind.check], left
    assert not list(home.path.rglob("executed")), "added code was executed"


def _below(home: Home, path: Path) -> str:
    """What of a path every sentence about it has: an object of the cache is a folder, too."""
    if "cache/objects" in str(path):
        return path.relative_to(home.path).parts[3]
    if path.match("warehouse/**/*") or "warehouse" in path.parts:
        return "abukix.commits"
    if path.name == "spec.json":
        return MODEL
    return str(path)


def _meets_it(home: Home, kind: Kind) -> None:
    if kind.meets == "service start":
        _asked_for_a_forecast(home, kind.says)
        return
    met = home.run(*kind.meets.replace("TRAINED", home.trained).split(" "))
    assert met.returncode == kind.code, f"{kind.meets}: {met.stdout}\n{met.stderr}"
    assert "Traceback" not in met.stderr
    if kind.code == 0:  # it is read after the next start, which writes it anew
        return
    if kind.code == 1:  # the answer is no, and says of what
        assert kind.says in met.stdout
        return
    error = met.stderr[met.stderr.rindex("error: ") :].splitlines()
    assert kind.says in error[0]
    assert [line.partition(":")[0] for line in error] == ["error", "where", "fix", "see"]


def _asked_for_a_forecast(home: Home, says: str) -> None:
    """The service starts, and each request says what its feature store says."""
    import urllib.error
    import urllib.request

    started = home.run("service", "start", MODEL)
    assert started.returncode == 0, started.stderr
    (service,) = json.loads(home.run("service", "list", "-o", "json").stdout)
    request = urllib.request.Request(
        f"{service['url']}/v1/models/{MODEL}:predict",
        data=json.dumps({"instances": [{"repo": "sample/atlas"}]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    answer = caught.value.read().decode()
    assert caught.value.code == 503 and says in answer and "Traceback" not in answer
    stopped = home.run("service", "stop", MODEL)
    assert stopped.returncode == 0, stopped.stderr
