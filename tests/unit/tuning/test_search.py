"""Ends, limits and early stopping, with trials that are plain calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from kubeflow_katib_api import models

from platform_ctl.errors import BadExperiment, SearchFailed, UnknownName
from platform_ctl.recipe.recipe import Budget
from platform_ctl.tuning import document
from platform_ctl.tuning.experiment import Experiment, ExperimentStatus, Trial
from platform_ctl.tuning.local.folder import FolderTuner
from tests.support import trials
from tests.support.experiments import choice, double, experiment, whole

X = double("x", 0.0, 6.0)
HOW = ("ok", "raise", "nan", "nothing")


@pytest.fixture
def tuner(tmp_path: Path) -> FolderTuner:
    return FolderTuner(tmp_path, money_per_cpu_hour=0.05)


def run(
    tuner: FolderTuner,
    search: Experiment,
    function: Any = trials.bowl,
    *,
    budget: Budget = Budget(),  # noqa: B008 - frozen
    **options: Any,
) -> tuple[ExperimentStatus, list[Trial]]:
    workdir = tuner.project_root / "work"
    status = tuner.run(search, trial=function, workdir=workdir, budget=budget, **options)
    return status, list(tuner.read(workdir).trials)


def test_the_status_has_katibs_shape(tuner: FolderTuner) -> None:
    status, done = run(tuner, experiment(X, trials=8, algorithm="tpe"))
    document = status.to_json()
    assert models.V1beta1ExperimentStatus.from_dict(document).trials_succeeded == 8
    best = min(done, key=lambda t: float(t.observation.metrics[0].min))
    optimal = document["currentOptimalTrial"]
    assert optimal["bestTrialName"] == best.name
    assert optimal["parameterAssignments"] == [{"name": "x", "value": best.parameters["x"]}]
    assert optimal["observation"]["metrics"][0]["name"] == "loss"
    final = document["conditions"][-1]
    assert (final["type"], final["reason"]) == ("Succeeded", "ExperimentMaxTrialsReached")
    saved = msgspec.json.decode((tuner.project_root / "work/status.json").read_bytes())
    assert saved["trials"] == 8


def test_the_goal_ends_the_search(tuner: FolderTuner) -> None:
    status, done = run(tuner, experiment(X, trials=200, algorithm="tpe", objective={"goal": 0.5}))
    assert status.outcome.reason == "ExperimentGoalReached"
    assert len(done) < 200
    scores = [float(t.observation.metrics[0].min) for t in done]
    assert scores[-1] <= 0.5 < min(scores[:-1], default=9)


def test_maximize_looks_the_other_way(tuner: FolderTuner) -> None:
    objective = {"type": "maximize", "goal": 8.9}
    status, _ = run(tuner, experiment(X, trials=200, algorithm="tpe", objective=objective))
    assert status.outcome.reason == "ExperimentGoalReached"
    assert float(status.best_parameters()["x"]) < 0.1


@pytest.mark.parametrize(
    ("how", "state", "reason"),
    [
        ("raise", "Failed", "TrialFailed"),
        ("nan", "MetricsUnavailable", "MetricNotFinite"),
        ("nothing", "MetricsUnavailable", "MetricsUnavailable"),
    ],
)
def test_a_bad_trial_ends_in_a_named_state(
    tuner: FolderTuner, how: str, state: str, reason: str
) -> None:
    status, (trial,) = run(tuner, experiment(choice("how", how), trials=1), trials.misbehave)
    assert (trial.state, trial.reason) == (state, reason)
    assert trial.message
    with pytest.raises(SearchFailed):
        status.best_parameters()


def test_bad_trials_do_not_spoil_the_best(tuner: FolderTuner) -> None:
    search = experiment(choice("how", *HOW), trials=4, algorithm="grid")
    status, done = run(tuner, search, trials.misbehave)
    assert sorted(t.state.value for t in done) == [
        "Failed",
        "MetricsUnavailable",
        "MetricsUnavailable",
        "Succeeded",
    ]
    assert status.best_parameters() == {"how": "ok"}
    assert (status.trials_failed, status.trial_metrics_unavailable) == (1, 2)


def test_failed_and_metricless_trials_count_towards_the_failure_limit(tuner: FolderTuner) -> None:
    search = experiment(choice("how", *HOW[1:]), trials=3, algorithm="grid", maxFailedTrialCount=2)
    status, done = run(tuner, search, trials.misbehave)
    assert (status.outcome.type, status.outcome.reason) == ("Failed", "ExperimentFailed")
    assert len(done) == 2


def test_grid_without_a_count_ends_at_its_end(tuner: FolderTuner) -> None:
    status, done = run(tuner, experiment(whole("x", 0, 4), trials=None, algorithm="grid"))
    assert status.outcome.reason == "ExperimentSuggestionEndReached"
    assert len(done) == 5


def stopping(required: int, start: int) -> dict[str, Any]:
    settings = {"min_trials_required": str(required), "start_step": str(start)}
    return {
        "algorithmName": "medianstop",
        "algorithmSettings": [{"name": k, "value": v} for k, v in settings.items()],
    }


def test_medianstop_stops_what_it_should_and_nothing_else(tuner: FolderTuner) -> None:
    """Trials report x + 10 … x + 1. A trial falls when its fourth report, x + 7, is
    above the mean over succeeded trials of the mean of their first four, x + 8.5."""
    search = experiment(
        whole("x", 0, 19), trials=20, algorithm="grid", earlyStopping=stopping(3, 4)
    )
    _, done = run(tuner, search, trials.steps)
    succeeded: list[int] = []
    for trial in done:
        x = int(trial.parameters["x"])
        falls = len(succeeded) >= 3 and x + 7 > sum(succeeded) / len(succeeded) + 8.5
        assert trial.state == ("EarlyStopped" if falls else "Succeeded")
        if not falls:
            succeeded.append(x)
    assert 0 < len(succeeded) < 20
    stopped = [t for t in done if t.state == "EarlyStopped"]
    assert all(float(t.observation.metrics[0].min) == int(t.parameters["x"]) + 7 for t in stopped)


def test_a_budget_of_trials_ends_the_search(tuner: FolderTuner) -> None:
    status, done = run(tuner, experiment(X, trials=50), budget=Budget(trials=7))
    assert len(done) == 7
    assert status.outcome.reason == "ExperimentBudgetReached"
    assert "7 of 7 trials" in status.outcome.message
    assert status.best_parameters()


@pytest.mark.parametrize("budget", [Budget(cpu_s=0.5), Budget(money=0.5 / 3600 * 0.05)])
def test_a_budget_of_cpu_stops_the_trial_in_flight(tuner: FolderTuner, budget: Budget) -> None:
    search = experiment(double("x", 0.2, 0.3), trials=50)
    status, done = run(tuner, search, trials.burner, budget=budget)
    assert status.outcome.reason == "ExperimentBudgetReached"
    assert done[-1].state == "Killed"
    assert 0.5 <= sum(t.cpu_s for t in done) < 0.6
    assert status.current_optimal_trial.best_trial_name in {t.name for t in done[:-1]}


def test_a_search_that_ended_is_not_run_again(tuner: FolderTuner) -> None:
    search = experiment(X, trials=3)
    first, _ = run(tuner, search)
    assert run(tuner, search, None)[0] == first


def test_a_search_goes_on_only_where_katib_would(tuner: FolderTuner) -> None:
    kept = experiment(X, trials=3, resumePolicy="LongRunning")
    _, before = run(tuner, kept)
    status, after = run(tuner, experiment(X, trials=6, resumePolicy="LongRunning"))
    assert after[:3] == before
    assert len(after) == 6
    assert [c.type for c in status.conditions if c.status == "True"] == ["Created", "Succeeded"]
    with pytest.raises(BadExperiment, match="maxTrialCount is raised"):
        run(tuner, experiment(X, trials=5, resumePolicy="LongRunning"))
    with pytest.raises(BadExperiment, match="another spec"):
        run(tuner, experiment(double("x", 0, 5), trials=9, resumePolicy="LongRunning"))
    with pytest.raises(BadExperiment, match="seed"):
        run(tuner, experiment(X, trials=9, resumePolicy="LongRunning"), seed=99)


def test_never_means_never(tuner: FolderTuner) -> None:
    run(tuner, experiment(X, trials=3))
    with pytest.raises(BadExperiment, match="resumePolicy"):
        run(tuner, experiment(X, trials=6))


def test_a_torn_last_line_is_dropped(tuner: FolderTuner) -> None:
    search = experiment(X, trials=5)
    status, done = run(tuner, search)
    journal = tuner.project_root / "work/journal.jsonl"
    whole_lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(whole_lines[:-3]) + whole_lines[-3][:40])
    again, redone = run(tuner, search)
    assert [t.parameters for t in redone] == [t.parameters for t in done]
    assert again.current_optimal_trial == status.current_optimal_trial


def test_the_seed_is_random_state_unless_given(tuner: FolderTuner, tmp_path: Path) -> None:
    search = experiment(X, trials=2, settings={"random_state": "4"})
    assert tuner.read(_run_in(tuner, search, tmp_path / "a")).seed == 4
    assert tuner.read(_run_in(tuner, search, tmp_path / "b", seed=9)).seed == 9


def _run_in(tuner: FolderTuner, search: Experiment, workdir: Path, **options: Any) -> Path:
    tuner.run(search, trial=trials.bowl, workdir=workdir, budget=Budget(), **options)
    return workdir


def test_a_running_search_can_be_read(tuner: FolderTuner) -> None:
    seen: list[ExperimentStatus] = []

    def look(trial: Trial) -> None:
        seen.append(tuner.read(tuner.project_root / "work").status)

    run(tuner, experiment(X, trials=3), on_trial=look)
    counts = [(s.trials, s.trials_running, s.trials_succeeded) for s in seen]
    assert counts == [(1, 1, 0), (1, 0, 1), (2, 1, 1), (2, 0, 2), (3, 1, 2), (3, 0, 3)]
    assert seen[0].outcome is None
    assert seen[1].best_parameters()


def test_reading_where_nothing_is(tuner: FolderTuner) -> None:
    with pytest.raises(UnknownName):
        tuner.read(tuner.project_root)


@pytest.mark.parametrize("text", ["a: [", "- 1", "kind: Experiment", "\x00"])
def test_files_that_are_no_experiment(tmp_path: Path, text: str) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(text)
    with pytest.raises(BadExperiment):
        document.load(path)
