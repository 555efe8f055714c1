"""One suite for every tuner: this machine, Katib on a fake API server, Katib on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from platform_ctl.cluster.store import RemoteStore
from platform_ctl.errors import BadExperiment
from platform_ctl.recipe.recipe import Budget
from platform_ctl.settings import HomeLayout, KubernetesSettings
from platform_ctl.tuning.experiment import ExperimentStatus, Trial
from platform_ctl.tuning.kubernetes.tuning import KubernetesTuner
from platform_ctl.tuning.local.folder import FolderTuner
from platform_ctl.tuning.local.tuning import LocalTuner
from platform_ctl.tuning.port import Tuner
from tests.fakes.katib import FakeKatib
from tests.fakes.objects import FakeObjects
from tests.support.cluster import needs_image
from tests.support.experiments import choice, document, double, experiment
from tests.support.in_cluster import Driver, in_cluster

Ended = tuple[ExperimentStatus, list[Trial]]


class Runs(Protocol):
    def __call__(
        self, search: str, function: str, *parameters: dict, budget: Budget = ..., **options: Any
    ) -> Ended: ...


def here(tuner: Tuner) -> Runs:
    def run(
        search: str,
        function: str,
        *parameters: dict,
        budget: Budget = Budget(),  # noqa: B008 - frozen
        **options: Any,
    ) -> Ended:
        tuner.run(
            experiment(*parameters, **options),
            search=search,
            trial=f"tests.support.trials:{function}",
            budget=budget,
            seed=0,
        )
        record = tuner.read(search)
        return record.status, list(record.trials)

    return run


def in_a_pod(driver: Driver) -> Runs:
    def run(
        search: str,
        function: str,
        *parameters: dict,
        budget: Budget = Budget(),  # noqa: B008 - frozen
        **options: Any,
    ) -> Ended:
        answer = driver.call(
            "tune",
            experiment=document(*parameters, **options),
            search=search,
            trial=f"tests.support.trials:{function}",
            budget=msgspec.to_builtins(budget),
        )
        found = answer.value
        return (
            msgspec.convert(found["status"], ExperimentStatus),
            msgspec.convert(found["trials"], list[Trial]),
        )

    return run


@pytest.fixture(
    scope="module", params=["local", "fake", pytest.param("kubernetes", marks=needs_image)]
)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    root: Path = tmp_path_factory.mktemp("tuner")
    if request.param == "local":
        yield here(LocalTuner(HomeLayout(root), FolderTuner(root)))
    elif request.param == "fake":
        objects = FakeObjects()
        FakeKatib(objects)
        store = RemoteStore(f"file://{root}")
        settings = KubernetesSettings(namespace="test", image="none")
        made = KubernetesTuner(objects, lambda: store, settings, sleep=lambda seconds: None)
        yield here(made)
    else:
        with in_cluster("tuner") as driver:
            yield in_a_pod(driver)


def test_a_search_ends_once_and_its_id_means_no_other(run: Runs) -> None:
    asked = ("bowl", double("x", 0, 6))
    status, trials = run("bowl", *asked, trials=2, parallel=2)
    assert [t.state.value for t in trials] == ["Succeeded", "Succeeded"]
    best = float(status.best_parameters()["x"])
    assert all(abs(best - 3) <= abs(float(t.parameters["x"]) - 3) for t in trials)
    again, same = run("bowl", *asked, trials=2, parallel=2)
    assert [t.name for t in same] == [t.name for t in trials]
    assert again.best_parameters() == status.best_parameters()
    with pytest.raises(BadExperiment):
        run("bowl", "bowl", double("x", 0, 7), trials=2, parallel=2)


@pytest.mark.parametrize(
    ("how", "state", "why"),
    [("raise", "Failed", "no such file"), ("nothing", "MetricsUnavailable", "")],
)
def test_bad_trials_are_told_apart(run: Runs, how: str, state: str, why: str) -> None:
    _, (trial,) = run(how, "misbehave", choice("how", how), trials=1)
    assert trial.state == state
    assert why in trial.message


def test_the_budget_of_trials_ends_the_search(run: Runs) -> None:
    _, trials = run("few", "bowl", double("x", 0, 6), trials=9, budget=Budget(trials=1))
    assert len(trials) == 1
