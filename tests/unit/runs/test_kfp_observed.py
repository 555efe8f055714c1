"""Log and lineage of runs on KFP, written by whoever follows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from platform_ctl import targets
from platform_ctl.runs.observed import ObservedRuns
from platform_ctl.runs.record import Run, RunEvent, RunRequest
from platform_ctl.settings import KubernetesSettings, Settings
from tests.fakes.kfp_runs import Runs
from tests.fakes.kfp_server import NOT_FOUND, FakeKfp, Fault, serve
from tests.support import run_pipelines

IMAGE = "example/python-recipe:1"


@dataclass
class World:
    settings: Settings
    fake: FakeKfp
    folder: Path

    def run(self, x: int = 1) -> Run:
        file = run_pipelines.write(self.folder, "judged", run_pipelines.judged(IMAGE))
        runs = targets.orchestrator(self.settings)
        return runs.run(RunRequest(file, {"x": x}), lambda event: None)

    def logged(self) -> list[dict[str, Any]]:
        lines = (self.settings.layout.logs / "platform.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@dataclass
class Away:
    """An observer that takes KFP away at the end of a run, before the others hear of it."""

    fake: FakeKfp

    def observe(self, run: Run, event: RunEvent) -> None:
        pass

    def ended(self, run: Run) -> None:
        self.fake.faults.append(Fault("GET", run.id, drop=True))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serve(Runs()) as fake:
        of_kfp = msgspec.structs.replace(
            KubernetesSettings(), kfp_url=fake.url, kubeconfig=str(tmp_path / "none")
        )
        settings = msgspec.structs.replace(
            Settings(), target="kubernetes", home=str(tmp_path / "home"), kubernetes=of_kfp
        )
        yield World(settings, fake, tmp_path)


def test_the_log_of_the_home_tells_of_the_run_and_its_tasks(world: World) -> None:
    run = world.run()
    lines = world.logged()
    assert {line["run_id"] for line in lines} == {run.id}
    told = [(line["event"], line.get("task"), line["state"]) for line in lines]
    assert ("task.ended", "judge", "SUCCEEDED") in told
    assert told[-1] == ("run.ended", None, "SUCCEEDED")
    assert lines[-1]["verdicts"] == {"judge": "successful"}


def test_lineage_holds_each_event_once_with_what_the_tasks_were_given(world: World) -> None:
    run = world.run()
    recorded = targets.lineage_outbox(world.settings).of_run(run.id)
    kinds = [(e["eventType"], e["job"]["name"]) for e in recorded]
    assert kinds[0] == ("START", "judged") and kinds[-1] == ("COMPLETE", "judged")
    assert {("START", "judged.judge"), ("COMPLETE", "judged.judge")} <= set(kinds)
    assert targets.missing_events(world.settings, run) == []
    judge = next(t for t in targets.with_inputs(world.settings, run).tasks if t.path == "judge")
    assert judge.inputs.parameters == {"x": 1}


def test_a_driver_whose_log_is_gone_leaves_its_task_without_inputs(world: World) -> None:
    run = world.run()
    world.fake.faults.append(Fault("GET", "/log|main-logs", code=NOT_FOUND))
    of_kfp = msgspec.structs.replace(world.settings.kubernetes, namespace="another")
    afresh = msgspec.structs.replace(world.settings, kubernetes=of_kfp)
    given = targets.with_inputs(afresh, run)
    assert [t.path for t in given.tasks] == [t.path for t in run.tasks]
    assert not any(t.inputs.parameters for t in given.tasks)


def test_lineage_that_cannot_be_read_is_owed_and_the_run_has_its_answer(world: World) -> None:
    """KFP goes away between the last reading of the run and that of its drivers."""
    observed = targets.orchestrator(world.settings)
    assert isinstance(observed, ObservedRuns)
    file = run_pipelines.write(world.folder, "judged", run_pipelines.judged(IMAGE))
    watched = replace(observed, observers=lambda: [Away(world.fake), *observed.observers()])
    run = watched.run(RunRequest(file, {"x": 5}), lambda event: None)
    observer = targets.lineage_observer(world.settings)
    assert run.verdicts and list(observer.backfill.run_ids()) == [run.id]
    world.fake.faults.clear()
    world.run(x=6)
    assert not list(observer.backfill.run_ids())
    assert targets.missing_events(world.settings, run) == []
