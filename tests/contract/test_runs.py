"""The port ``runs`` on every target: this machine, a fake KFP API server, one whose steps are pods
of a real cluster, a real one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from platform_ctl import targets
from platform_ctl.cli.pipeline import finish
from platform_ctl.cluster.api import Cluster
from platform_ctl.cluster.kfp import Kfp
from platform_ctl.errors import PlatformError, PreconditionMissing, UnknownName, UsageError
from platform_ctl.runs.kubernetes.api import RunsApi
from platform_ctl.runs.kubernetes.runs import KfpRuns
from platform_ctl.runs.port import Orchestrator
from platform_ctl.runs.record import (
    EventKind,
    Run,
    RunEvent,
    RunRequest,
    RunState,
    SkippedBy,
    TaskState,
    TaskVerdict,
)
from platform_ctl.settings import Settings
from tests.fakes.kfp_pods import PodRuns
from tests.fakes.kfp_runs import Runs
from tests.fakes.kfp_server import serve
from tests.support import cluster, run_pipelines

ROOT = Path(__file__).parents[2]


@dataclass
class Target:
    """A port, and the pipelines with an image that it can run."""

    runs: Orchestrator
    folder: Path
    image: str = "example/python-recipe:1"

    def request(self, document: dict[str, Any], *, key: str = "", **kwargs: Any) -> RunRequest:
        file = run_pipelines.write(self.folder, uuid.uuid4().hex, document)
        return RunRequest(file, idempotency_key=key, **kwargs)

    def judged(self, x: int, **kwargs: Any) -> RunRequest:
        return self.request(run_pipelines.judged(self.image), parameters={"x": x}, **kwargs)

    def chain(self, first: str, **kwargs: Any) -> RunRequest:
        return self.request(run_pipelines.chain(self.image, first), parameters={"x": 1}, **kwargs)

    def ended(self, run: Run) -> tuple[Run, list[RunEvent]]:
        events = list(self.runs.watch(run.id))
        return self.runs.get(run.id), events


@pytest.fixture(scope="module")
def namespace() -> Iterator[Cluster]:
    with cluster.own_namespace("runs") as made:
        yield made


@pytest.fixture(
    params=[
        "local",
        "fake",
        pytest.param("pods", marks=cluster.needs_image),
        pytest.param("kfp", marks=cluster.needs_kfp),
    ]
)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    if request.param == "local":
        settings = msgspec.structs.replace(
            Settings(), home=str(tmp_path / "home"), project_root=str(ROOT)
        )
        yield Target(targets.orchestrator(settings), tmp_path)
    elif request.param == "fake":
        with serve(Runs(step_s=0.2)) as fake:
            yield Target(KfpRuns(RunsApi(Kfp(fake.url)), poll_s=0.05), tmp_path)
    elif request.param == "pods":
        runs = PodRuns(request.getfixturevalue("namespace"), account="default")
        with serve(runs) as fake:
            api = RunsApi(Kfp(fake.url))
            yield Target(KfpRuns(api, poll_s=0.5), tmp_path, cluster.image())
        runs.stop()
    else:
        api = RunsApi(Kfp(os.environ[cluster.KFP_URL]))
        yield Target(KfpRuns(api, poll_s=2.0), tmp_path, cluster.image())


def test_a_run_is_submitted_watched_and_read(target: Target) -> None:
    x = random.randrange(1, 10**9)
    started = target.runs.submit(target.judged(x, name="contract"))
    assert not started.state.final or started.state is RunState.SUCCEEDED
    run, events = target.ended(started)
    assert run.state is RunState.SUCCEEDED, run.error
    states = {t.path: t.state for t in run.tasks}
    assert states == {
        "judge": TaskState.SUCCEEDED,
        "passed.double": TaskState.SUCCEEDED,
        "refused": TaskState.SKIPPED,
    }
    refused = next(t for t in run.tasks if t.path == "refused")
    assert refused.skipped_by is SkippedBy.CONDITION
    assert run.verdicts == (TaskVerdict("judge", "successful", (f"x is {x}",)),)
    double = next(t for t in run.tasks if t.path == "passed.double")
    assert double.outputs.parameters == {"Output": 2 * x}
    assert events[-1].kind is EventKind.RUN and events[-1].state == RunState.SUCCEEDED
    assert {"judge", "passed.double"} <= {e.task.path for e in events if e.task}
    assert (run.name, run.pipeline, dict(run.parameters)) == ("contract", "judged", {"x": x})
    assert run.started_at and run.ended_at and (run.duration_s or 0) >= 0
    assert target.runs.get(run.id[:13]).id == run.id
    assert run.id in [r.id for r in target.runs.list(50)]
    judge = next(t for t in run.tasks if t.path == "judge")
    assert target.runs.log(run, judge)
    assert target.runs.log(run, judge, begin=4) == target.runs.log(run, judge)[4:]
    assert b"pipelineInfo" in target.runs.pipeline_file(run.id)

    again, _ = target.ended(target.runs.submit(target.judged(x)))
    assert {t.path for t in again.tasks if t.state is TaskState.CACHED} >= {"judge"}
    assert _put_out(again) == _put_out(run) and again.verdicts == run.verdicts
    with pytest.raises(UsageError):
        target.runs.resume(run.id, lambda event: None)
    assert target.runs.cancel(run.id).state is RunState.SUCCEEDED


def test_a_gate_that_said_no_says_no_from_the_cache(target: Target) -> None:
    x = -random.randrange(1, 10**9)
    first, _ = target.ended(target.runs.submit(target.judged(x)))
    again, _ = target.ended(target.runs.submit(target.judged(x)))
    assert next(t for t in again.tasks if t.path == "judge").state is TaskState.CACHED
    assert again.verdicts == first.verdicts == (TaskVerdict("judge", "failed", (f"x is {x}",)),)


def test_a_step_that_fails_fails_the_run_and_skips_what_waits_for_it(target: Target) -> None:
    events: list[RunEvent] = []
    run = target.runs.run(target.chain("boom"), events.append)
    assert run.state is RunState.FAILED and "boom" in run.error
    by_path = {t.path: t for t in run.tasks}
    assert by_path["boom"].state is TaskState.FAILED
    assert by_path["double"].state is TaskState.SKIPPED
    assert by_path["double"].skipped_by is SkippedBy.UPSTREAM
    assert b"boom 1" in target.runs.log(run, by_path["boom"])
    assert events[-1].state == RunState.FAILED


def test_an_error_of_the_platforms_own_keeps_its_id_and_its_fix(target: Target) -> None:
    run = target.runs.run(target.chain("absent"), lambda event: None)
    with pytest.raises(PreconditionMissing) as ended, click.Context(click.Command("run")) as ctx:
        finish(ctx, run, "json")
    assert ended.value.what == "no table 1" and ended.value.fix.startswith("platform-ctl ")
    assert ended.value.where.startswith(f"run {run.id}, task absent")


def test_a_run_is_cancelled(target: Target) -> None:
    started = target.runs.submit(target.chain("wait"))
    for event in target.runs.watch(started.id):
        if event.task and event.task.path == "wait" and event.state == TaskState.RUNNING:
            target.runs.cancel(started.id)
    ended = target.runs.get(started.id)
    assert ended.state is RunState.CANCELED
    assert not any(t.state is TaskState.RUNNING for t in ended.tasks)


def test_the_same_key_is_the_same_run(target: Target) -> None:
    key = uuid.uuid4().hex
    first = target.runs.submit(target.judged(1, key=key))
    second = target.runs.submit(target.judged(2, key=key))
    assert second.id == first.id
    target.ended(first)


def test_what_does_not_exist_is_said_so(target: Target) -> None:
    target.runs.submit(target.judged(1))
    with pytest.raises(UnknownName):
        target.runs.get("00000000-0000-4000-8000-000000000000")
    with pytest.raises(PlatformError) as refused:
        target.runs.submit(target.request(run_pipelines.judged(target.image), parameters={"y": 1}))
    assert "'y'" in str(refused.value)


def _put_out(run: Run) -> dict[str, dict[str, Any]]:
    return {t.path: dict(t.outputs.parameters) for t in run.tasks}


CONVERT = """
import sys, threading
sys.setswitchinterval(1e-6)
import msgspec
from platform_ctl.ir.pipeline import Pipeline
document = {document!r}
barrier = threading.Barrier(8)
def convert():
    barrier.wait()
    msgspec.convert(document, Pipeline)
threads = [threading.Thread(target=convert) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
"""


def test_threads_that_read_a_pipeline_first_do_not_end_the_process() -> None:
    document: dict[str, Any] = {**run_pipelines.judged("example/python-recipe:1"), "platforms": {}}
    program = CONVERT.format(document=document)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
