"""Lineage events of a whole flow, from the recipe's table to its service, without running it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from platform_ctl.lineage import events as lineage
from platform_ctl.lineage.facets import CodeSource, Event, Naming, Producer
from platform_ctl.lineage.trials import trial_events
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.recipe.tables import Snapshot, TableColumn, TableState
from platform_ctl.runs.record import Artifact, Outputs, Run, RunState, Task, TaskState, TaskVerdict
from platform_ctl.tuning.experiment import Assignment, Metric, Observation, Trial, TrialState
from recipes.train_deploy.columns import columns
from recipes.train_deploy.recipe import RECIPE
from tests.support.experiments import double, experiment

TRAIN_ID = "a1111111-0000-4000-8000-000000000000"
PROMOTE_ID = "b2222222-0000-4000-8000-000000000000"
SOURCE = CodeSource("https://git.lan/a/b.git", "c0ffee", "pipelines/train_deploy_pipeline.py")
AS_OF = "2026-03-02T00:00:00+00:00"
_AT = datetime(2026, 3, 3, tzinfo=UTC)
_TABLE = TableState(
    RECIPE.table,
    True,
    snapshots=(Snapshot("42", 0.0, 99),),
    columns=(TableColumn("repo", "string"),),
)


def producer() -> Producer:
    """Of a home that has the recipe and its table."""

    def recipe(pipeline: str, model: str) -> Recipe | None:
        return RECIPE if RECIPE.pipeline == pipeline or RECIPE.model_name == model else None

    naming = Naming(
        "platform", "mlflow://host", recipe, lambda name: _TABLE, {"type": "sql"},
        lambda recipe: columns(),
    )  # fmt: skip
    return Producer("1", naming, sources={RECIPE.pipeline: SOURCE})


def at(seconds: float) -> str:
    moment = _AT + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def artifact(task: str, name: str, digest: str, **metadata: Any) -> Artifact:
    uri = f"/h/runs/{TRAIN_ID}/tasks/{task}/outputs/{name}"
    return Artifact(name, uri, "system.Dataset", metadata=metadata, digest=digest, size_bytes=9)


ROWS = artifact("extract", "rows", "d-rows", rows=7, columns={"label": {"nulls": 0, "distinct": 5}})
MODEL = artifact("train", "model", "d-model")
EVALUATION = artifact(
    "evaluate", "evaluation", "d-evaluation",
    assertions=[{"dataset": "rows", "assertion": "leak_check", "success": True}],
)  # fmt: skip


def task(number: int, path: str, given: Outputs, made: Outputs, **more: Any) -> Task:
    return Task(
        path, path, f"comp-{path}", TaskState.SUCCEEDED, started_at=at(number),
        ended_at=at(number + 0.5), attempts=1, log="log.txt", inputs=given, outputs=made, **more,
    )  # fmt: skip


def _of(parameters: dict[str, Any], *artifacts: Artifact) -> Outputs:
    return Outputs(parameters, {a.name: (a,) for a in artifacts})


TASKS = (
    task(1, "resolve", _of({}), _of({"snapshot_id": "42", "as_of": AS_OF})),
    task(2, "extract", _of({"snapshot_id": "42", "as_of": AS_OF}),
         _of({"feature_service": RECIPE.feature_service}, ROWS)),
    task(3, "tune", _of({}, ROWS), _of({"parameters": {"x": "0.5"}})),
    task(4, "train", _of({}, ROWS), _of({}, MODEL)),
    task(5, "evaluate", _of({}, ROWS, MODEL), _of({}, EVALUATION)),
    task(6, "gate", _of({}, EVALUATION), _of({"verdict": "successful", "reasons": ["better"]})),
    task(7, "register", _of({"snapshot_id": "42"}, MODEL, EVALUATION),
         _of({"verdict": "successful", "version": "3"})),
)  # fmt: skip
TRAIN = Run(
    TRAIN_ID, "nightly", RECIPE.pipeline, RunState.SUCCEEDED, at(0), "/h/runs/x",
    started_at=at(0), ended_at=at(9), tasks=TASKS,
    verdicts=(TaskVerdict("gate", "successful", ("better",)),),
)  # fmt: skip
DEPLOY = task(
    11, "deploy", _of({"model": RECIPE.model_name, "version": "3"}), _of({"release_id": "r"})
)
PROMOTE = replace(
    TRAIN, id=PROMOTE_ID, pipeline="promote", created_at=at(10), started_at=at(10),
    ended_at=at(12), tasks=(DEPLOY,), verdicts=(),
)  # fmt: skip


def trial(number: int, loss: float) -> Trial:
    return Trial(
        f"t-{number}", number, (Assignment("x", f"{number / 10}"),), state=TrialState.SUCCEEDED,
        start_time=_AT + timedelta(seconds=3.1), completion_time=_AT + timedelta(seconds=3.2),
        observation=Observation((Metric("loss", f"{loss}", f"{loss}", f"{loss}"),)), cpu_s=1.0,
    )  # fmt: skip


def events() -> list[Event]:
    """Of a training run and of the promotion of what it made, in order."""
    by = producer()
    search = experiment(double("x", 0, 1))
    found = [lineage.run_start(TRAIN, by)]
    for one in TASKS:
        found += [
            lineage.task_start(TRAIN, one, by, AS_OF),
            *lineage.materialisations(TRAIN, one, by, AS_OF),
            lineage.task_end(TRAIN, one, by, about=AS_OF),
        ]
        if one.path == "tune":
            trials = [trial(0, 0.5), trial(1, 0.25), trial(2, 0.75)]
            found[-1:-1] = trial_events(TRAIN, one, search, trials, by, AS_OF)
    found += [lineage.run_end(TRAIN, by), lineage.run_start(PROMOTE, by)]
    found += [lineage.task_start(PROMOTE, DEPLOY, by), lineage.task_end(PROMOTE, DEPLOY, by)]
    return [*found, lineage.run_end(PROMOTE, by)]
