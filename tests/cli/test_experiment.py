"""platform-ctl experiment run and show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kubeflow_katib_api import models

from tests.support.experiments import choice, document, double
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


def platform_ctl(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from platform_ctl.cli.app import main; main()", *words],
        cwd=ROOT,
        env={**os.environ, "PLATFORM_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def parabola(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Experiment whose trial is awk: no interpreter to start."""
    score = '(x-2)^2 + ("${trialParameters.k}" == "a")'
    program = f'BEGIN{{x = ${{trialParameters.x}}; printf "loss=%f\\n", {score}}}'
    doc = document(
        double("x", -5, 5),
        choice("k", "a", "b"),
        trials=12,
        algorithm="tpe",
        parallel=2,
        command=["awk", program],
        maxFailedTrialCount=3,
    )
    doc["metadata"]["name"] = "parabola"
    path = tmp_path_factory.mktemp("experiment") / "parabola.yaml"
    path.write_text(yaml.safe_dump(doc))
    return path


@pytest.fixture(scope="module")
def home(parabola: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the search has been run once."""
    home = tmp_path_factory.mktemp("home")
    done = platform_ctl(home, "experiment", "run", str(parabola), "-o", "json")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert models.V1beta1ExperimentStatus.from_dict(status).trials_succeeded == 12
    assert done.stderr.count("Succeeded") == 12
    return home


def test_running_it_again_runs_nothing(home: Path, parabola: Path) -> None:
    done = platform_ctl(home, "experiment", "run", str(parabola))
    assert done.returncode == 0
    assert "all 12 trials are done" in done.stdout
    assert "Succeeded" not in done.stderr


def test_show_prints_trials_and_draws(home: Path, tmp_path: Path) -> None:
    page = tmp_path / "s.html"
    shown = platform_ctl(home, "experiment", "show", "parabola")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("Succeeded ") == 13  # twelve rows and the search
    shown = platform_ctl(home, "experiment", "show", "--plot", str(page), "-o", "json")
    assert len(json.loads(shown.stdout)["trials"]) == 12
    assert 'class="chart"' in page.read_text() and "best so far" in page.read_text()


def test_a_search_can_be_looked_at_while_its_trials_run(tmp_path: Path) -> None:
    doc = document(double("x", 0, 1), trials=1, command=["sleep", "600${trialParameters.x}"])
    doc["metadata"]["name"] = "endless"
    path = tmp_path / "endless.yaml"
    path.write_text(yaml.safe_dump(doc))
    home = tmp_path / "home"
    start = "from platform_ctl.cli.app import main; main()"
    search = subprocess.Popen(
        [sys.executable, "-c", start, "experiment", "run", str(path)],
        cwd=ROOT,
        env={**os.environ, "PLATFORM_HOME": str(home)},
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: _states(home) == ["Running"], seconds=30)
        shown = platform_ctl(home, "experiment", "show", "endless")
        assert shown.returncode == 0, shown.stderr
        assert "Running" in shown.stdout.partition("endless:")[0]
    finally:
        search.terminate()
        search.wait(timeout=30)


def _states(home: Path) -> list[str]:
    shown = platform_ctl(home, "experiment", "show", "endless", "-o", "json")
    return [t["state"] for t in json.loads(shown.stdout)["trials"]] if shown.stdout else []


def test_the_search_is_in_mlflow_once(home: Path) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{home}/mlflow/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("parabola").experiment_id])
    parents = [r for r in found if "mlflow.parentRunId" not in r.data.tags]
    assert len(parents) == 1
    assert len(found) == 13
    (parent,) = parents
    children = [r for r in found if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert parent.data.metrics["loss"] == min(r.data.metrics["loss"] for r in children)
    assert set(parent.data.params) == {"x", "k"}


def test_a_warm_start_and_another_seed(home: Path, parabola: Path) -> None:
    words = ["--name", "warm", "--seed", "5", "--max-trials", "3", "--warm-start", "parabola"]
    done = platform_ctl(home, "experiment", "run", str(parabola), *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"] == 3


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["show", "parabolla"], 2, "parabola"),
        (["show", "parabola", "--plot", "x.png"], 2, "--plot x.html"),
        (["run", "FILE", "-p", "ROWS=x"], 2, "ROWS"),
        (["run", "FILE", "-p", "ROWS"], 2, "NAME=VALUE"),
        (["run", "FILE", "--name", "No Good"], 2, "metadata.name"),
        (["run", "missing.yaml"], 2, "missing.yaml"),
    ],
)
def test_wrong_words(home: Path, parabola: Path, words: list[str], code: int, named: str) -> None:
    given = [str(parabola) if w == "FILE" else w for w in words]
    done = platform_ctl(home, "experiment", *given)
    assert done.returncode == code
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_search_without_a_usable_trial_fails(home: Path, tmp_path: Path) -> None:
    doc = document(choice("k", "a"), trials=1, command=["false", "${trialParameters.k}"])
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump(doc))
    done = platform_ctl(home, "experiment", "run", str(path))
    assert done.returncode == 5
    assert "err-search-failed" in done.stderr


def test_katib_only_algorithms_are_unsupported(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump(document(double("x", 0, 1), algorithm="hyperband")))
    done = platform_ctl(home, "experiment", "run", str(path))
    assert done.returncode == 6
    assert "hyperband" in done.stderr


def test_a_path_that_no_run_has_made_is_named_before_a_trial_starts(
    parabola: Path, tmp_path: Path
) -> None:
    asked = yaml.safe_load(parabola.read_text())
    job = asked["spec"]["trialTemplate"]["trialSpec"]["spec"]
    job["template"]["spec"]["containers"][0]["env"] = [{"name": "ROWS", "value": "/mnt/rows"}]
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(asked))
    done = platform_ctl(tmp_path / "home", "experiment", "run", str(tmp_path / "e.yaml"))
    assert (done.returncode, done.stderr.count("error:")) == (3, 1)
    assert "-p ROWS=PATH" in done.stderr
