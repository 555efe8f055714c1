"""What a trial reads and is not there comes from the newest run that made it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from platform_ctl.runs.local.artifacts import LocalArtifacts
from platform_ctl.runs.record import Artifact, Outputs, Run, RunState, Task, TaskState
from platform_ctl.tuning.inputs import missing_paths, newest_outputs
from tests.support.experiments import double, experiment


def test_paths_that_are_not_here_are_missing(tmp_path: Path) -> None:
    search = experiment(double("x", 0, 1))
    container = search.spec.trial_template.trial_spec["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [
        {"name": "ROWS", "value": "/mnt/rows.parquet"},
        {"name": "HERE", "value": str(tmp_path)},
        {"name": "WORD", "value": "many"},
    ]
    assert missing_paths(search) == {"ROWS": "/mnt/rows.parquet"}


def test_the_newest_output_that_still_exists_counts(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    runs = {
        run_id: replace(_run(run_id), tasks=(_extract(str(tmp_path / run_id)),))
        for run_id in ("gone", "old", "older")
    }
    (tmp_path / "older").touch()
    listed = [_run(run_id) for run_id in runs]
    found = newest_outputs(["ROWS", "OTHER"], listed, runs.__getitem__, LocalArtifacts().fetch)
    assert found == {"ROWS": (str(tmp_path / "old"), "old")}


def test_rows_of_another_pipeline_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    (tmp_path / "own").touch()
    names = {"other": "b", "own": "a"}
    runs = {
        run_id: replace(_run(run_id), pipeline=of, tasks=(_extract(str(tmp_path / run_id)),))
        for run_id, of in names.items()
    }
    found = newest_outputs(["ROWS"], runs.values(), runs.__getitem__, LocalArtifacts().fetch, "a")
    assert found == {"ROWS": (str(tmp_path / "own"), "own")}


def test_an_output_in_a_store_is_given_as_its_copy(tmp_path: Path) -> None:
    """Of a run on a cluster, whose record holds a URI of the object store."""
    copies = {"s3://bucket/rows": tmp_path / "copy"}
    run = replace(_run("of-kfp"), tasks=(_extract("s3://bucket/rows"),))
    found = newest_outputs(["ROWS"], [run], lambda run_id: run, copies.get)
    assert found == {"ROWS": (str(tmp_path / "copy"), "of-kfp")}


def _run(run_id: str) -> Run:
    return Run(run_id, run_id, "p", RunState.SUCCEEDED, "2026-01-01T00:00:00Z", "/nowhere")


def _extract(path: str) -> Task:
    outputs = Outputs(artifacts={"rows": (Artifact("rows", path),)})
    return Task("extract", "extract", "extract", TaskState.SUCCEEDED, outputs=outputs)
