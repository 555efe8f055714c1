"""A small home with everything from data to service, written through the real adapters.

Run ``first`` made version 1, which is in production; run ``second`` made
version 2, which waits for approval. Serving is a fake that serves version 1.
"""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from platform_ctl import targets
from platform_ctl.approvals.ask import request
from platform_ctl.explain.diagnosis import Diagnosis
from platform_ctl.explain.why_facts import DiagnosisPorts
from platform_ctl.models.model import PRODUCTION, ModelVersion, find_version
from platform_ctl.models.register import register_model
from platform_ctl.releases.local.releases import SqliteReleases
from platform_ctl.releases.release import Release, ReleaseState
from platform_ctl.releases.steps import revision_of
from platform_ctl.releases.target import target_of
from platform_ctl.runs.local.records import RunEnd, RunRecords
from platform_ctl.runs.record import Artifact, Outputs, Run, RunState, SkippedBy, Task, TaskState
from platform_ctl.settings import Settings
from recipes.train_deploy.recipe import RECIPE
from tests.support.candidates import PASSED, write_candidate
from tests.support.releases import FakeServing, Fuse

ROOT = Path(__file__).parents[2]
NAME = RECIPE.model_name
FIRST, PROMOTED, SECOND = (f"{n}1111111-0000-4000-8000-000000000000" for n in "abc")
GROUP = "condition-1"


def ago(seconds: float) -> str:
    moment = datetime.fromtimestamp(time.time() - seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def task(path: str, state: TaskState = TaskState.SUCCEEDED, error: str = "", **outputs) -> Task:
    name = path.rpartition(".")[2]
    return Task(
        path, name, f"comp-{name}", state, ago(50), ago(40), 1, error, outputs=Outputs(outputs)
    )


def skipped(path: str, because_of: str = "") -> Task:
    """Skipped by its own condition, or because a task beside it was skipped."""
    error = f"{because_of} was skipped" if because_of else "the condition is false"
    return dataclasses.replace(
        task(path, TaskState.SKIPPED, error),
        skipped_by=SkippedBy.UPSTREAM if because_of else SkippedBy.CONDITION,
        skip_cause=because_of or path,
    )


def training(snapshot: str, version: str) -> list[Task]:
    """The records of a run of train-deploy that went well."""
    rows = Artifact("rows", "/nowhere/rows", "system.Dataset", metadata={"snapshot_id": snapshot})
    extract = dataclasses.replace(
        task("extract"),
        outputs=Outputs({"feature_service": RECIPE.feature_service}, {"rows": (rows,)}),
    )
    return [
        task("resolve", snapshot_id=snapshot, as_of="2026-01-05", golden_digest="g", champion=""),
        extract,
        task("tune", parameters={"learning_rate": "0.01"}),
        task("train"),
        task("evaluate"),
        task("gate", verdict="successful", reasons=["MASE 1.0 is within the ceiling."]),
        task(f"{GROUP}.register", version=version, verdict="successful"),
        task(f"{GROUP}.request-approval", approval_id=""),
    ]


@dataclass
class Chain:
    """A home of the kind; ``why`` asks the real operation about it."""

    home: Path
    snapshot: str

    @property
    def settings(self) -> Settings:
        return msgspec.structs.replace(
            Settings(), home=str(self.home), project_root=str(ROOT), max_parallel_tasks=1
        )

    @property
    def looking(self) -> DiagnosisPorts:
        """As the composition root builds it, with version 1 served by a fake."""
        looking = targets.looking(self.settings)
        serving = FakeServing(Fuse())
        if looking.registry.models():
            version = find_version(looking.registry.models(), f"{NAME}/1")
            release = self._release(looking, version)
            serving.apply(RECIPE.inference_service, release.promoted())
        return dataclasses.replace(looking, serving=serving)

    def why(self, run: str = SECOND, **changes: object) -> Diagnosis:
        from platform_ctl.explain.why_facts import why_run

        return why_run(dataclasses.replace(self.looking, **changes), run)

    def sql(self, statement: str, *values: object, database: str = "platform.db") -> None:
        with sqlite3.connect(self.home / database) as db:
            db.execute(statement, values)
        db.close()

    def record(self, run: Run, tasks: list[Task], error: str = "") -> None:
        """Write, or write again, the records of a run."""
        records = RunRecords(targets.database(self.settings))
        records.delete(run.id)
        directory = Path(run.directory)
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(
            ROOT / "pipelines" / "compiled" / f"{run.pipeline}.yaml", directory / "pipeline.yaml"
        )
        records.create(run)
        for one in tasks:
            records.save_task(run.id, one)
        if run.state.final:
            records.end(run.id, RunEnd(run.state, error))

    def run(
        self,
        run_id: str,
        pipeline: str = RECIPE.pipeline,
        *,
        state: RunState = RunState.SUCCEEDED,
        age_s: float = 60,
        **parameters: object,
    ) -> Run:
        return Run(
            run_id,
            run_id[:8],
            pipeline,
            state,
            ago(age_s),
            str(self.home / "runs" / run_id),
            parameters,
        )

    def retrain(
        self,
        change: Callable[[list[Task]], list[Task]],
        *,
        state: RunState = RunState.SUCCEEDED,
        error: str = "",
    ) -> None:
        """The second run, had its tasks ended differently."""
        tasks = change(training(self.snapshot, "2"))
        self.record(self.run(SECOND, state=state), tasks, error)

    def release(self, number: str, state: ReleaseState, **fields: object) -> Release:
        """A release of a version in that state, as the newest one."""
        looking = targets.looking(self.settings)
        version = find_version(looking.registry.models(), f"{NAME}/{number}")
        made = self._release(looking, version)
        releases = SqliteReleases(targets.state(self.settings))
        made = releases.create(made, "started")
        return releases.update(dataclasses.replace(made, state=state, **fields), state.value)

    def _release(self, looking: DiagnosisPorts, version: ModelVersion) -> Release:
        production = looking.registry.aliases(NAME).get(PRODUCTION, "")
        before = None
        if production and production != version.version:
            found = find_version(looking.registry.models(), f"{NAME}/{production}")
            before = revision_of(looking.registry, found)
        target = target_of(looking.registry, RECIPE, version)
        release_id = f"release-{version.version}-{time.time_ns()}"
        return Release(release_id, target, RECIPE.canary, before)


def build(home: Path) -> Chain:
    """About 10 s, most of them MLflow's; copies are cheap."""
    chain = Chain(home, _table(home))
    settings = chain.settings
    registry, approvals = targets.registry(settings), targets.approvals(settings)
    for number, run_id in (("1", FIRST), ("2", SECOND)):
        model, evaluation = write_candidate(home.parent / f"candidate-{number}", seed=int(number))
        version = register_model(
            registry,
            recipe=RECIPE,
            model_dir=model,
            evaluation_dir=evaluation,
            decision=PASSED,
            provenance={"run_id": run_id, "data_snapshot": chain.snapshot},
        )
        asked = request(
            registry,
            approvals,
            recipe=RECIPE,
            version=version,
            requested_by="ann",
            settings=settings.approval,
        )
        chain.record(
            chain.run(run_id, age_s=120 if number == "1" else 60), training(chain.snapshot, number)
        )
        if number == "1":
            _approve(chain, asked.id)
            promotion = chain.run(PROMOTED, "promote", age_s=90, approval_id=asked.id)
            chain.record(promotion, [task("verify-approval", model=NAME, version="1")])
            chain.release("1", ReleaseState.PROMOTED)
            registry.move_aliases(
                NAME, {PRODUCTION: "1", "staging": ""}, actor="promote", reason="canary successful"
            )
    return chain


def _approve(chain: Chain, request_id: str) -> None:
    from platform_ctl.approvals.request import Answer, Vote

    targets.approvals(chain.settings).vote(request_id, Vote("bob", Answer.APPROVE, "ok", ago(0)))


def _table(home: Path) -> str:
    """The recipe's table with one snapshot; returns its id."""
    import pyarrow as pa
    from pyiceberg.catalog import load_catalog

    access = targets.data_access(msgspec.structs.replace(Settings(), home=str(home)))
    (home / "iceberg" / "warehouse").mkdir(parents=True)
    properties = dict(access.catalog)
    catalog = load_catalog(properties.pop("name"), **properties)
    namespace = RECIPE.table.partition(".")[0]
    catalog.create_namespace(namespace)
    rows = pa.table({"repo": ["a"], "hash": ["1"]})
    table = catalog.create_table(RECIPE.table, schema=rows.schema)
    table.append(rows)
    return str(table.current_snapshot().snapshot_id)
