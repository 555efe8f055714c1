"""Trials that are processes: how they end, what is collected, what is left behind."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from platform_ctl.recipe.recipe import Budget
from platform_ctl.tuning.experiment import ExperimentStatus, Trial
from platform_ctl.tuning.local.folder import FolderTuner
from tests.support.experiments import choice, double, experiment

PROGRAM = """
import os, subprocess, sys, time
how = sys.argv[1]
print("epoch=1 loss=0.9", flush=True)
if how == "crash":
    sys.exit(3)
if how == "signal":
    os.kill(os.getpid(), 9)
if how == "nan":
    print("loss=nan")
if how == "silent":
    pass
if how == "hang":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(600)
if how == "deaf":
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
if how == "burn":
    end = time.process_time() + 600
    while time.process_time() < end:
        pass
print("loss=0.5", end="")
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    return path


def run(
    tmp_path: Path,
    *parameters: dict[str, Any],
    budget: Budget = Budget(),  # noqa: B008 - frozen
    **options: Any,
) -> tuple[ExperimentStatus, list[Trial]]:
    tuner = FolderTuner(tmp_path, money_per_cpu_hour=0.05)
    options.setdefault("algorithm", "grid")
    search = experiment(*parameters, **options)
    status = tuner.run(search, trial=None, workdir=tmp_path / "work", budget=budget)
    return status, list(tuner.read(tmp_path / "work").trials)


def command(program: Path) -> list[str]:
    return [sys.executable, str(program), "${trialParameters.how}"]


def leftovers(program: Path) -> list[psutil.Process]:
    """Processes that run the program or a child of it, once killed ones had the time to end."""
    deadline = time.monotonic() + 10
    while (found := _running(program)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _running(program: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if str(program) in words or process.info["cwd"] == str(program.parent):
            found.append(process)
    return found


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [
        ("ok", "Succeeded", "TrialSucceeded"),
        ("crash", "Failed", "BackoffLimitExceeded"),
        ("signal", "Failed", "BackoffLimitExceeded"),
        ("hang", "Failed", "DeadlineExceeded"),
    ],
)
def test_how_a_trial_ends(tmp_path: Path, program: Path, how: str, state: str, reason: str) -> None:
    deadline = {"activeDeadlineSeconds": 1} if how == "hang" else {}
    _, (trial,) = run(
        tmp_path, choice("how", how), trials=1, command=command(program), job=deadline
    )
    assert (trial.state, trial.reason) == (state, reason)
    assert leftovers(program) == []


def test_the_last_line_counts_even_without_a_newline(tmp_path: Path, program: Path) -> None:
    _, (trial,) = run(tmp_path, choice("how", "ok"), trials=1, command=command(program))
    loss = trial.observation.metrics[0]
    assert (loss.min, loss.max, loss.latest) == ("0.5", "0.9", "0.5")
    log = tmp_path / "work/trials" / trial.name / "trial.log"
    assert log.read_text() == "epoch=1 loss=0.9\nloss=0.5"


def test_a_nan_at_the_end_is_no_score_where_the_latest_counts(
    tmp_path: Path, program: Path
) -> None:
    objective = {"metricStrategies": [{"name": "loss", "value": "latest"}]}
    words = [sys.executable, "-c", "print('loss=1'); print('loss=nan'); '${trialParameters.how}'"]
    _, (trial,) = run(tmp_path, choice("how", "x"), trials=1, command=words, objective=objective)
    assert (trial.state, trial.reason) == ("MetricsUnavailable", "MetricNotFinite")


def test_a_trial_without_its_metric(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "print('accuracy=1', '${trialParameters.how}')"]
    _, (trial,) = run(tmp_path, choice("how", "x"), trials=1, command=words)
    assert (trial.state, trial.reason) == ("MetricsUnavailable", "MetricsUnavailable")


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    words = ["/no/such/program", "${trialParameters.how}"]
    status, (trial,) = run(tmp_path, choice("how", "x"), trials=1, command=words)
    assert (trial.state, trial.reason) == ("Failed", "CannotStart")
    assert status.trials_failed == 1


def test_a_deaf_trial_is_killed_when_the_time_is_up(tmp_path: Path, program: Path) -> None:
    begin = time.monotonic()
    status, done = run(
        tmp_path,
        choice("how", "ok", "deaf"),
        trials=2,
        parallel=2,
        command=command(program),
        budget=Budget(wall_s=1.0),
    )
    assert time.monotonic() - begin < 60
    assert status.outcome.reason == "ExperimentBudgetReached"
    assert {t.parameters["how"]: t.state.value for t in done} == {
        "ok": "Succeeded",
        "deaf": "Killed",
    }
    assert status.best_parameters() == {"how": "ok"}
    assert leftovers(program) == []


def test_cpu_of_a_process_is_counted_while_it_runs(tmp_path: Path, program: Path) -> None:
    status, (trial,) = run(
        tmp_path,
        choice("how", "burn"),
        trials=1,
        command=command(program),
        budget=Budget(cpu_s=1.0),
    )
    assert status.outcome.type == "Failed"
    assert "cpu-seconds" in status.outcome.message
    assert 1.0 <= trial.cpu_s < 1.3


def test_a_metrics_file_of_each_trials_own(tmp_path: Path) -> None:
    path = "/var/log/katib/metrics.log"
    write = (
        "import json, sys; n = sys.argv[1]\n"
        f"with open('{path}', 'a') as f:\n"
        "    print(json.dumps({'loss': n, 'timestamp': 1}), file=f)"
    )
    source = {"fileSystemPath": {"path": path, "kind": "File", "format": "JSON"}}
    collector = {"collector": {"kind": "File"}, "source": source}
    status, done = run(
        tmp_path,
        choice("n", "3", "1", "2"),
        trials=3,
        parallel=3,
        command=[sys.executable, "-c", write, "${trialParameters.n}"],
        metricsCollectorSpec=collector,
    )
    assert [t.observation.metrics[0].latest for t in done] == [t.parameters["n"] for t in done]
    assert status.best_parameters() == {"n": "1"}


def test_metrics_that_are_not_json_are_named(tmp_path: Path) -> None:
    path = "/var/log/katib/metrics.log"
    source = {"fileSystemPath": {"path": path, "kind": "File", "format": "JSON"}}
    _, (trial,) = run(
        tmp_path,
        choice("n", "3"),
        trials=1,
        command=["sh", "-c", f"echo loss=${{trialParameters.n}} > {path}"],
        metricsCollectorSpec={"collector": {"kind": "File"}, "source": source},
    )
    assert (trial.state, trial.reason) == ("MetricsUnavailable", "UnreadableMetrics")


def test_medianstop_ends_processes(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "for step in range(6):\n"
        "    print(f'loss={float(sys.argv[1])}', flush=True)\n"
        "    time.sleep(0.0 if float(sys.argv[1]) < 9 else 0.3)\n"
    )
    settings = [
        {"name": "min_trials_required", "value": "2"},
        {"name": "start_step", "value": "2"},
    ]
    _, done = run(
        tmp_path,
        double("x", 1, 9, step="1"),
        trials=9,
        settings={"random_state": "17"},
        command=[sys.executable, "-c", program, "${trialParameters.x}"],
        earlyStopping={"algorithmName": "medianstop", "algorithmSettings": settings},
    )
    (slow,) = [t for t in done if t.parameters["x"] == "9.0"]
    assert slow.state == "EarlyStopped"


def test_the_environment_is_the_jobs_on_top_of_ours(tmp_path: Path) -> None:
    words = ["sh", "-c", 'echo "loss=$N"; echo "home=$HOME"; : ${trialParameters.n}']
    search = experiment(choice("n", "1"), trials=1, algorithm="grid", command=words)
    spec = search.spec.trial_template.trial_spec["spec"]["template"]["spec"]
    spec["containers"][0]["env"] = [{"name": "N", "value": "7"}]
    tuner = FolderTuner(tmp_path, environment={"HOME": "/nowhere", "PATH": os.environ["PATH"]})
    tuner.run(search, trial=None, workdir=tmp_path / "work", budget=Budget())
    (trial,) = tuner.read(tmp_path / "work").trials
    log = tmp_path / "work/trials" / trial.name / "trial.log"
    assert log.read_text() == "loss=7\nhome=/nowhere\n"


def _with_x(program: str) -> list[str]:
    """A command that gets the parameter, as Katib wants, and does not look at it."""
    return [sys.executable, "-c", program, "${trialParameters.x}"]


def test_why_a_command_failed_is_the_last_thing_it_said(tmp_path: Path) -> None:
    said = "print('loading'); raise SystemExit('there are no rows')"
    search = experiment(double("x", 0, 1), trials=1, command=_with_x(said))
    tuner = FolderTuner(tmp_path)
    tuner.run(search, trial=None, workdir=tmp_path / "work", budget=Budget())
    (trial,) = tuner.read(tmp_path / "work").trials
    assert trial.message == "the command ended with exit code 1: there are no rows"


@pytest.mark.parametrize(
    ("printed", "hint"), [("val/acc=0.9", True), ("nothing at all", False)], ids=["named", "not"]
)
def test_a_metric_in_a_form_that_is_not_read_is_said_so(
    tmp_path: Path, printed: str, hint: bool
) -> None:
    search = experiment(
        double("x", 0, 1),
        trials=1,
        objective={"objectiveMetricName": "val/acc"},
        command=_with_x(f"print({printed!r})"),
    )
    tuner = FolderTuner(tmp_path)
    tuner.run(search, trial=None, workdir=tmp_path / "work", budget=Budget())
    (trial,) = tuner.read(tmp_path / "work").trials
    assert trial.state == "MetricsUnavailable"
    assert ("name=number" in trial.message) is hint
