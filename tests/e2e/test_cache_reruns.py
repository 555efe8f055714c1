"""Whole runs through the command line: which steps an edit re-runs, and why."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

TASKS = ("begin", "clean", "features", "fit", "score", "publish")
EFFECT = {"publish"}
"""Caching is off for it: it runs every time."""


class Project:
    """A project and a home; ``run`` says which tasks were executed."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.home = home

    def call(self, *words: str, code: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [sys.executable, "-c", "from platform_ctl.cli.app import main; main()", *words],
            cwd=self.root,
            env={**os.environ, "PLATFORM_HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return done

    def json(self, *words: str, code: int = 0):
        return json.loads(self.call(*words, "-o", "json", code=code).stdout)

    def run(self, *words: str) -> set[str]:
        self.call("pipeline", "run", "six_steps.yaml", *words)
        tasks = self.json("run", "show", "latest")["tasks"]
        assert {t["state"] for t in tasks} <= {"SUCCEEDED", "CACHED"}
        return {t["name"] for t in tasks if t["state"] == "SUCCEEDED"}

    def why(self) -> dict[str, str]:
        return {d["task"]: d["reason"] for d in self.json("cache", "explain", "latest")}

    def edit(self, module: str, old: str, new: str) -> None:
        path = self.root / "recipes" / "shop" / module
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def artifact(self, task: str, output: str) -> Path:
        (run,) = {
            t["outputs"]["artifacts"][output][0]["uri"] for t in self.tasks() if t["name"] == task
        }
        return Path(run)

    def tasks(self) -> list[dict]:
        return self.json("run", "show", "latest")["tasks"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project with one finished run."""
    from tests.support.six_steps import write_project

    base = tmp_path_factory.mktemp("cache")
    write_project(base / "project")
    project = Project(base / "project", base / "home")
    assert project.run() == set(TASKS)
    return project


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the project under another path, on the same home: the cache must not mind."""
    shutil.copytree(finished.root, tmp_path / "checkout")
    return Project(tmp_path / "checkout", finished.home)


def test_nothing_changed_nothing_runs(project):
    assert project.run() == EFFECT
    assert project.why()["publish"] == "caching is off for this task"


@pytest.mark.parametrize(
    ("module", "old", "new", "executed", "reason"),
    [
        ("cleaning.py", "# twice each", "# two of each", set(), ""),
        ("cleaning.py", '"""Keep the numbers."""', "", set(), ""),
        ("cleaning.py", "2 * int(x)", "5 * int(x)", {"features", "fit", "score"}, "cleaning"),
        # Same bytes come out of it: what reads them is served from the cache.
        (
            "shared.py",
            "file.read().split()",
            "list(file.read().split())",
            {"clean", "features"},
            "shared",
        ),
        ("fitting.py", "weights /", "weights * 2 /", {"score"}, "fitting"),
    ],
)
def test_an_edit_reruns_what_it_reaches(project, module, old, new, executed, reason):
    project.edit(module, old, new)
    assert project.run() == executed | EFFECT
    if executed:
        first = next(t for t in TASKS if t in executed)
        assert project.why()[first].startswith(f"code.modules.recipes.shop.{reason}: ")


def test_a_parameter_reruns_what_reads_it(project):
    assert project.run("-p", "rate=0.25") == {"fit", "score"} | EFFECT
    why = project.why()
    assert why["fit"] == "parameters.rate: 0.5 -> 0.25"
    assert why["score"].startswith("artifacts.model.digest: ")


def test_a_tampered_artifact_is_named_and_made_again(project):
    project.run("-p", "n=9")
    rows = project.artifact("features", "out")
    rows.write_text("66")
    done = project.call("pipeline", "run", "six_steps.yaml", "-p", "n=9")
    assert "cached artifact 'out' of features" in done.stderr
    assert {t["name"] for t in project.tasks() if t["state"] == "SUCCEEDED"} == {
        "features"
    } | EFFECT
    assert project.why()["features"].startswith("quarantined: artifact out")
    assert project.artifact("features", "out").read_text() != "66"
    assert project.json("cache", "verify")["quarantined"] == []


def test_no_cache_asks_nothing(project):
    assert project.run("--no-cache") == set(TASKS)
    assert set(project.why().values()) == {"caching is off for this run"}


def test_verify_says_no_and_prune_empties(finished, tmp_path):
    project = Project(finished.root, tmp_path / "home")
    project.run()
    rows = project.artifact("features", "out")
    stamp = rows.stat()
    rows.write_bytes(rows.read_bytes()[::-1])
    os.utime(rows, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    (bad,) = project.json("cache", "verify", code=1)["quarantined"]
    assert (bad["component"], bad["artifact"]) == ("features", "out")
    assert (
        "no task 'nothing'" in project.call("cache", "explain", "latest", "nothing", code=2).stderr
    )
    assert project.json("cache", "prune", "--older-than", "0s")["kept_entries"] == 0
