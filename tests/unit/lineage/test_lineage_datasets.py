"""Which datasets a task has: by what it declares and what the recipe says, never by its name."""

from __future__ import annotations

import dataclasses

from platform_ctl.lineage import datasets
from platform_ctl.lineage.facets import Naming, Producer, physical
from platform_ctl.recipe.recipe import Recipe
from platform_ctl.recipe.tables import TableColumn, TableState
from platform_ctl.runs.record import Artifact, Outputs, Run, RunState, Task, TaskState
from recipes.train_deploy.recipe import RECIPE

RUN_ID = "a1111111-0000-4000-8000-000000000000"
RUN = Run(RUN_ID, "r", RECIPE.pipeline, RunState.SUCCEEDED, "2026-01-01T00:00:00Z", "/home/runs/r")
TABLE = TableState(RECIPE.table, True, columns=(TableColumn("repo", "string"),))


def producer() -> Producer:
    def recipe(pipeline: str, model: str) -> Recipe | None:
        return RECIPE if RECIPE.pipeline == pipeline or RECIPE.model_name == model else None

    naming = Naming("platform", "mlflow://host", recipe, lambda name: TABLE, {"type": "sql"})
    return Producer("1", naming)


def task(inputs: dict, outputs: dict, read: tuple = (), written: tuple = ()) -> Task:
    return Task(
        "t", "t", "comp-t", TaskState.SUCCEEDED,
        inputs=Outputs(inputs, {a.name: (a,) for a in read}),
        outputs=Outputs(outputs, {a.name: (a,) for a in written}),
    )  # fmt: skip


def names(found: list) -> list[str]:
    return [f"{d['namespace']} {d['name']}" for d in found]


def version(dataset: dict) -> str:
    return dataset["facets"]["version"]["datasetVersion"]


def test_extraction_reads_table_and_features() -> None:
    rows = Artifact("rows", f"/h/runs/{RUN_ID}/tasks/extract/outputs/rows", "system.Dataset",
                    metadata={"rows": 7}, digest="d1", size_bytes=9)  # fmt: skip
    extract = task({"snapshot_id": "42"}, {"feature_service": "v1"}, written=(rows,))
    read = datasets.inputs(RUN, extract, producer())
    assert names(read) == ["iceberg abukix.commits", "abukix repo_weekly", "abukix v1"]
    assert version(read[0]) == "42"
    assert read[0]["facets"]["schema"]["fields"] == [{"name": "repo", "type": "string"}]
    (made,) = datasets.outputs(RUN, extract, producer())
    assert names([made]) == ["platform train-deploy.extract.rows"]
    assert version(made) == "d1"
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert made["facets"]["symlinks"]["identifiers"][0]["namespace"] == "file"
    (again,) = datasets.inputs(RUN, task({}, {}, read=(rows,)), producer())
    assert again["inputFacets"]["dataQualityMetrics"]["rowCount"] == 7
    assert (again["name"], version(again)) == (made["name"], version(made))


def test_registration_writes_a_model_version() -> None:
    register = task({"snapshot_id": "42"}, {"version": "3", "verdict": "successful"})
    (made,) = datasets.outputs(RUN, register, producer())
    assert names([made]) == ["mlflow://host models/weekly-commits"] and version(made) == "3"
    assert datasets.inputs(RUN, register, producer()) == []


def test_deployment_reads_the_version_and_writes_the_service() -> None:
    promote = dataclasses.replace(RUN, pipeline="promote")
    deploy = task({"model": RECIPE.model_name, "version": "3"}, {"release_id": "r"})
    assert names(datasets.inputs(promote, deploy, producer())) == [
        "mlflow://host models/weekly-commits"
    ]
    (made,) = datasets.outputs(promote, deploy, producer())
    assert names([made]) == ["kserve weekly-commits"] and version(made) == "3"


def test_other_pipelines_have_no_recipe() -> None:
    other = dataclasses.replace(RUN, pipeline="smoke")
    assert datasets.inputs(other, task({"snapshot_id": "42"}, {}), producer()) == []


def test_places() -> None:
    assert physical("s3://bucket/a/b") == ("s3://bucket", "a/b")
    assert physical("/data/x") == ("file", "/data/x")
    assert physical("file:///data/x") == ("file", "/data/x")
