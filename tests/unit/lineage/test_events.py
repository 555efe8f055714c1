"""Events of a whole flow: valid by upstream's classes, and what their facets say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from openlineage.client.generated.base import InputDatasetFacet, RunFacet

from platform_ctl.lineage import events as lineage
from platform_ctl.lineage.facets import SPEC
from platform_ctl.runs.record import Outputs, RunState, TaskState
from recipes.train_deploy.recipe import RECIPE
from tests.support import lineage_flow as flow
from tests.support import openlineage_check

EVENTS = flow.events()


def end_of(path: str) -> dict[str, Any]:
    return next(
        e for e in EVENTS if e["job"]["name"].endswith(f".{path}") and e["eventType"] == "COMPLETE"
    )


def facet(event: dict[str, Any], name: str) -> dict[str, Any]:
    return event["run"]["facets"][name]


def dataset(event: dict[str, Any], side: str, name: str) -> dict[str, Any]:
    return next(d for d in event[side] if d["name"].endswith(name))


# ---- validity -------------------------------------------------------------------


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: f"{e['job']['name']}-{e['eventType']}")
def test_valid(event: dict[str, Any]) -> None:
    assert openlineage_check.check(event) >= 3


def test_what_is_wrong_is_not_valid() -> None:
    def break_it(**changed: Any) -> dict[str, Any]:
        return {**EVENTS[0], **changed}

    for wrong in (
        break_it(eventType="STARTED"),
        break_it(eventTime="yesterday"),
        break_it(run={"runId": "no uuid", "facets": {}}),
        break_it(inputs=[{"namespace": "a", "name": "b", "facets": {}, "columns": {}}]),
    ):
        with pytest.raises((TypeError, ValueError)):
            openlineage_check.check(wrong)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ErrorMessageRunFacet", {"text": "no"}),
        ("ParentRunFacet", {"run": {"runId": "x"}}),
        ("NominalTimeRunFacet", {"nominalStartTime": "monday"}),
    ],
)
def test_wrong_facets_are_not_valid(name: str, values: dict[str, Any]) -> None:
    version = {"ParentRunFacet": "1-2-0"}.get(name, "1-0-1")
    url = f"{SPEC}facets/{version}/{name}.json#/$defs/{name}"
    key = name[0].lower() + name.removesuffix("RunFacet")[1:]
    with pytest.raises((TypeError, ValueError)):
        openlineage_check.check_facet(key, {"_schemaURL": url, **values}, RunFacet)


def test_an_input_facet_may_not_stand_elsewhere() -> None:
    read = dataset(end_of("tune"), "inputs", "extract.rows")["inputFacets"]["dataQualityMetrics"]
    openlineage_check.check_facet("dataQualityMetrics", read, InputDatasetFacet)
    with pytest.raises(TypeError):
        openlineage_check.check_facet("dataQualityMetrics", read, RunFacet)


def test_wrong_own_facets_are_not_valid() -> None:
    told = facet(end_of("gate"), "platform_gate")
    for wrong in ({**told, "verdict": 1}, {**told, "more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            openlineage_check.check_facet("platform_gate", wrong, RunFacet)


# ---- on every event -------------------------------------------------------------


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: f"{e['job']['name']}-{e['eventType']}")
def test_every_event_says_when_by_what_and_in_which_run(event: dict[str, Any]) -> None:
    facets, job = event["run"]["facets"], event["job"]["facets"]
    assert facets["processing_engine"]["name"] == "platform-ctl"
    assert facets["nominalTime"]["nominalStartTime"]
    assert job["jobType"]["integration"] == "KUBEFLOW"
    code = job.get("sourceCodeLocation")
    if event["job"]["name"].startswith(flow.TRAIN.pipeline):
        assert code["url"] == "https://git.lan/a/b/blob/c0ffee/pipelines/train_deploy_pipeline.py"
        assert (code["repoUrl"], code["version"]) == (flow.SOURCE.repo_url, "c0ffee")
    root = event["run"] if "parent" not in facets else facets["parent"]["root"]["run"]
    assert root["runId"] in (flow.TRAIN_ID, flow.PROMOTE_ID)


def test_the_nominal_time_is_the_week_that_the_run_is_about() -> None:
    about = {
        e["job"]["name"]: facet(e, "nominalTime")["nominalStartTime"]
        for e in EVENTS
        if e["eventType"] == "COMPLETE"
    }
    assert {v for k, v in about.items() if k.startswith("train-deploy")} == {flow.AS_OF}
    assert about["promote"] == flow.PROMOTE.created_at


@pytest.mark.parametrize("as_of", ["monday", "2026-03-02", 7, None])
def test_an_as_of_that_is_no_moment_is_no_nominal_time(as_of: Any) -> None:
    assert lineage.nominal_time([flow.task(1, "t", Outputs(), Outputs({"as_of": as_of}))]) == ""


def test_a_pipeline_is_described_by_its_recipe() -> None:
    assert EVENTS[0]["job"]["facets"]["documentation"]["description"] == RECIPE.title


# ---- columns --------------------------------------------------------------------


def origin(event: dict[str, Any], made: str, column: str) -> set[tuple[str, str, str]]:
    told = dataset(event, "outputs", made)["facets"]["columnLineage"]["fields"][column]
    return {(i["namespace"], i["name"], i["field"]) for i in told["inputFields"]}


def test_features_come_from_the_table() -> None:
    event = end_of("extract.repo_weekly")
    table = ("iceberg", RECIPE.table)
    assert origin(event, "repo_weekly", "lines_4w") == {
        (*table, "insertions"),
        (*table, "deletions"),
    }
    rows = dataset(event, "outputs", "repo_weekly")["facets"]["columnLineage"]["dataset"]
    how = {(i["field"], i["transformations"][0]["subtype"]) for i in rows}
    assert ("repo", "GROUP_BY") in how and ("available_at", "FILTER") in how


def test_rows_come_from_features_and_labels_from_the_table() -> None:
    event = end_of("extract")
    assert origin(event, "extract.rows", "lines_4w") == {("abukix", "repo_weekly", "lines_4w")}
    assert origin(event, "extract.rows", "label") == {("iceberg", RECIPE.table, "committed_at")}


def test_predictions_come_from_the_features_of_the_rows() -> None:
    read = origin(end_of("evaluate"), "evaluate.evaluation", "prediction")
    assert read == {("platform", "train-deploy.extract.rows", f) for f in RECIPE.features}


def test_each_source_column_is_a_field_of_what_was_read() -> None:
    """Marquez drops a column whose source is no field of an input of the same event."""
    for event in EVENTS:
        fields = {
            (d["namespace"], d["name"]): {f["name"] for f in d["facets"]["schema"]["fields"]}
            for d in event["inputs"]
            if "schema" in d["facets"] and d["name"] != RECIPE.table
        }
        for made in event["outputs"]:
            told = made["facets"].get("columnLineage", {"fields": {}})
            for column in told["fields"].values():
                for one in column["inputFields"]:
                    if one["name"] != RECIPE.table:
                        assert one["field"] in fields[one["namespace"], one["name"]]


# ---- quality --------------------------------------------------------------------


def test_counts_come_with_what_was_read() -> None:
    event = end_of("tune")
    told = dataset(event, "inputs", "extract.rows")["inputFacets"]["dataQualityMetrics"]
    assert told["rowCount"] == 7
    assert told["columnMetrics"] == {"label": {"nullCount": 0, "distinctCount": 5}}
    table = dataset(end_of("resolve"), "inputs", RECIPE.table)
    assert table["inputFacets"]["dataQualityMetrics"]["rowCount"] == 99


def asserted(event: dict[str, Any], name: str) -> list[dict[str, Any]]:
    read = dataset(event, "inputs", name)["inputFacets"]
    return read.get("dataQualityAssertions", {"assertions": []})["assertions"]


def test_what_a_step_asserts_stands_at_what_it_read() -> None:
    event = end_of("evaluate")
    assert asserted(event, "extract.rows") == [{"assertion": "leak_check", "success": True}]
    assert "inputFacets" not in dataset(event, "inputs", "train.model")


def test_a_verdict_with_reasons_is_an_assertion() -> None:
    (told,) = asserted(end_of("gate"), "evaluate.evaluation")
    assert told["success"] and told["actual"] == "successful" and told["description"] == "better"
    # The verdict of a registration gives no reasons: it judges nothing that it read.
    assert "inputFacets" not in dataset(end_of("register"), "inputs", "evaluate.evaluation")


@pytest.mark.parametrize(
    "told",
    [None, "yes", [1], [{"assertion": "a"}], [{"assertion": "a", "success": "yes"}],
     [{"dataset": "rows", "assertion": "a", "success": True, "expected": 3}]],
)  # fmt: skip
def test_metadata_that_is_no_assertion_is_left_out(told: Any) -> None:
    broken = replace(flow.EVALUATION, metadata={"assertions": told})
    task = flow.task(5, "evaluate", flow._of({}, flow.ROWS), flow._of({}, broken))
    event = lineage.task_end(flow.TRAIN, task, flow.producer())
    assert asserted(event, "extract.rows") == []
    openlineage_check.check(event)


@pytest.mark.parametrize("told", [{"columns": 3}, {"columns": {"a": 1}}, {"rows": "many"}])
def test_metadata_that_is_no_count_is_left_out(told: dict[str, Any]) -> None:
    rows = replace(flow.ROWS, metadata={"rows": 7, **told})
    task = flow.task(3, "tune", flow._of({}, rows), Outputs())
    openlineage_check.check(lineage.task_end(flow.TRAIN, task, flow.producer()))


# ---- ends -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "kind"), [(TaskState.FAILED, "FAIL"), (TaskState.CANCELED, "ABORT")]
)
def test_a_task_that_did_not_succeed_wrote_nothing(state: TaskState, kind: str) -> None:
    task = replace(flow.TASKS[3], state=state, error="out of memory")
    event = lineage.task_end(flow.TRAIN, task, flow.producer())
    assert (event["eventType"], event["outputs"]) == (kind, [])
    assert ("errorMessage" in event["run"]["facets"]) == (kind == "FAIL")
    openlineage_check.check(event)


def test_what_went_wrong_is_told_without_credentials() -> None:
    error = "http://me:pass-word@mlflow.lan refused"
    task = replace(flow.TASKS[3], state=TaskState.FAILED, error=error)
    run = replace(flow.TRAIN, state=RunState.FAILED, error=error)
    for event in (
        lineage.task_end(flow.TRAIN, task, flow.producer()),
        lineage.run_end(run, flow.producer()),
    ):
        assert "pass-word" not in str(event)
