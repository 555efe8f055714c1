"""``pipeline run`` and ``run`` against a KFP API server, as typed by a user."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.kfp_runs import Runs
from tests.fakes.kfp_server import serve
from tests.support import run_pipelines
from tests.support.commands import platform_ctl


@dataclass
class User:
    """Commands against one API server, from a home without anything in it."""

    url: str
    folder: Path
    runs: Runs

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {
            "PLATFORM_CTL_KUBERNETES__KFP_URL": self.url,
            "KUBECONFIG": str(self.folder / "none"),
        }
        return platform_ctl(self.folder / "home", "--target", "kubernetes", *words, **env)

    def run(self, x: int) -> subprocess.CompletedProcess[str]:
        document = run_pipelines.judged("example/python-recipe:1")
        file = run_pipelines.write(self.folder, "judged", document)
        return self.type("pipeline", "run", str(file), "-p", f"x={x}", "-o", "json")


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    runs = Runs()
    with serve(runs) as fake:
        yield User(fake.url, tmp_path, runs)


def test_a_gate_that_said_no_ends_with_1_also_from_the_cache(user: User) -> None:
    executed, cached = (user.run(-7) for _ in range(2))
    assert (executed.returncode, cached.returncode) == (1, 1), executed.stderr + cached.stderr
    first, second = (json.loads(done.stdout) for done in (executed, cached))
    assert second["verdicts"] == first["verdicts"]
    assert {t["path"]: t["state"] for t in second["tasks"]}["judge"] == "CACHED"
    third = user.run(7)
    assert third.returncode == 0
    newer = json.loads(third.stdout)["id"]
    compared = user.type("run", "diff", first["id"], newer, "-o", "json")
    assert compared.returncode == 0, compared.stderr
    differs = {(d["kind"], d["what"]): (d["old"], d["new"]) for d in json.loads(compared.stdout)}
    assert differs["parameter", "x"] == ("-7", "7")
    explained = json.loads(user.type("cache", "explain", second["id"], "-o", "json").stdout)
    judge = next(d for d in explained if d["task"] == "judge")
    assert (judge["decision"], judge["source_run_id"]) == ("HIT", first["id"])
    assert len(judge["fingerprint"]) == 64


def test_what_a_run_of_a_deleted_version_did_is_unknown(user: User) -> None:
    run = json.loads(user.run(7).stdout)["id"]
    user.runs.kept[run].said.pop("pipeline_spec")
    shown = user.type("run", "show", run)
    assert shown.returncode == 0, shown.stderr
    assert "pipeline   unknown (" in shown.stdout
    assert shown.stdout.splitlines()[-1].startswith("tasks      unknown: ")
    assert "cost" not in shown.stdout
    assert json.loads(user.type("run", "show", run, "-o", "json").stdout)["cost"] is None
    assert "are unknown: " in user.type("run", "logs", run).stderr
    explained = user.type("cache", "explain", run)
    assert (explained.returncode, explained.stdout) == (2, "")
    assert "was deleted, and its IR with it (err-bad-ir)" in explained.stderr
