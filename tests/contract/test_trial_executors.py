"""One suite for the three ways a trial runs: in this process, as a Ray task, as a Job's process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platform_ctl.recipe.recipe import Budget
from platform_ctl.training.local.training import LocalTraining
from platform_ctl.tuning.experiment import ExperimentStatus, Trial
from platform_ctl.tuning.local.folder import FolderTuner
from tests.support import trials
from tests.support.experiments import choice, double, experiment

ROOT = Path(__file__).parents[2]
AS_JOB = """
import importlib, sys
function = getattr(importlib.import_module("tests.support.trials"), sys.argv[1])
def report(values):
    print(*(f"{k}={v!r}" for k, v in values.items()), flush=True)
report(function(dict(word.split("=", 1) for word in sys.argv[2:]), report=report))
"""


class Ways:
    """Runs a trial function of tests.support.trials in one of the three ways."""

    def __init__(self, way: str, root: Path) -> None:
        self.way = way
        self.root = root
        self.runs = 0

    def run(
        self,
        function: str,
        *parameters: dict[str, Any],
        budget: Budget = Budget(),  # noqa: B008 - frozen
        **options: Any,
    ) -> tuple[ExperimentStatus, list[Trial]]:
        self.runs += 1
        names = [p["name"] for p in parameters]
        words = [sys.executable, "-c", AS_JOB, function]
        command = [*words, *(f"{n}=${{trialParameters.{n}}}" for n in names)]
        search = experiment(*parameters, command=command, **options)
        tuner = FolderTuner(ROOT, money_per_cpu_hour=0.05)
        workdir = self.root / f"{self.way}-{self.runs}"
        chosen = None if self.way == "job" else getattr(trials, function)
        status = tuner.run(search, trial=chosen, workdir=workdir, budget=budget)
        return status, list(tuner.read(workdir).trials)


@pytest.fixture(scope="module", params=["inline", "job", "ray"])
def ways(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ways]:
    root = tmp_path_factory.mktemp("tuner")
    if request.param == "ray":
        with LocalTraining().connect():
            yield Ways("ray", root)
    else:
        yield Ways(request.param, root)


@pytest.fixture
def killable(ways: Ways) -> Ways:
    if ways.way == "inline":
        pytest.skip("a call in this process cannot be ended from outside")
    return ways


def test_the_same_search_gives_the_same_trials_and_scores(ways: Ways, tmp_path: Path) -> None:
    options = {"trials": 8, "algorithm": "tpe"}
    _, found = ways.run("bowl", double("x", 0, 6), **options)
    _, expected = Ways("inline", tmp_path).run("bowl", double("x", 0, 6), **options)
    assert [t.parameters for t in found] == [t.parameters for t in expected]
    assert [t.observation for t in found] == [t.observation for t in expected]


def test_two_at_a_time_end_with_all_trials(ways: Ways) -> None:
    status, found = ways.run("bowl", double("x", 0, 6), trials=9, parallel=2, algorithm="tpe")
    assert status.trials_succeeded == len({t.name for t in found}) == 9


@pytest.mark.parametrize(
    ("how", "state"),
    [("raise", "Failed"), ("nan", "MetricsUnavailable"), ("nothing", "MetricsUnavailable")],
)
def test_bad_trials_end_in_the_same_state(ways: Ways, how: str, state: str) -> None:
    _, (trial,) = ways.run("misbehave", choice("how", how), trials=1)
    assert trial.state == state


def test_medianstop_stops_the_same_trials(ways: Ways) -> None:
    settings = [{"name": "min_trials_required", "value": "2"}, {"name": "start_step", "value": "4"}]
    _, found = ways.run(
        "paced",
        choice("x", "1", "2", "30"),
        trials=3,
        algorithm="grid",
        settings={"random_state": "5"},
        earlyStopping={"algorithmName": "medianstop", "algorithmSettings": settings},
    )
    assert {t.parameters["x"]: t.state.value for t in found} == {
        "1": "Succeeded",
        "2": "Succeeded",
        "30": "EarlyStopped",
    }


def test_cpu_agrees_with_what_the_trial_used(ways: Ways) -> None:
    """Within 5 % and the start of an interpreter."""
    _, found = ways.run("burner", choice("x", "0.4", "0.8"), trials=2, algorithm="grid")
    by_x = {t.parameters["x"]: t.cpu_s for t in found}
    assert by_x["0.8"] - by_x["0.4"] == pytest.approx(0.4, rel=0.05, abs=0.04)


def test_a_dying_trial_takes_no_other_with_it(killable: Ways) -> None:
    status, found = killable.run(
        "misbehave", choice("how", "die", "ok"), trials=2, parallel=2, algorithm="grid"
    )
    assert {t.parameters["how"]: t.state.value for t in found} == {
        "die": "Failed",
        "ok": "Succeeded",
    }
    assert status.best_parameters() == {"how": "ok"}


@pytest.mark.parametrize("how", ["hang", "busy"])
def test_a_stuck_trial_ends_at_its_deadline(killable: Ways, how: str) -> None:
    job = {"activeDeadlineSeconds": 1}
    _, (trial,) = killable.run("misbehave", choice("how", how), trials=1, job=job)
    assert (trial.state, trial.reason) == ("Failed", "DeadlineExceeded")
    assert trial.wall_s < 60  # it would have gone on for ten minutes


def test_the_budget_stops_trials_in_flight(killable: Ways) -> None:
    status, found = killable.run(
        "misbehave",
        choice("how", "hang", "ok"),
        trials=2,
        parallel=2,
        algorithm="grid",
        budget=Budget(wall_s=8.0),
    )
    assert status.outcome.reason == "ExperimentBudgetReached"
    assert {t.parameters["how"]: t.state.value for t in found} == {
        "hang": "Killed",
        "ok": "Succeeded",
    }
