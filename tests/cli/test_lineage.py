"""``lineage show`` and ``lineage events``, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from platform_ctl import targets
from platform_ctl.cli.app import main
from platform_ctl.recipe.datasets import AuditReport, Mismatch
from platform_ctl.runs.record import RunRequest
from platform_ctl.settings import Settings
from recipes.train_deploy.recipe import RECIPE
from tests.support import lineage_flow as flow
from tests.support import openlineage_check, six_steps

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of six steps, and the events of a flow from a table to a service."""
    root = tmp_path_factory.mktemp("lineage-cli")
    pipeline = six_steps.write_project(root)
    settings = msgspec.structs.replace(Settings(), home=str(root / "home"), project_root=str(root))
    targets.orchestrator(settings).run(RunRequest(pipeline), lambda event: None)
    targets.lineage_outbox(settings).append(flow.events())
    return root / "home"


@pytest.fixture
def cli(home, monkeypatch, capsys):
    """(exit code, stdout, stderr) of a lineage command in that home."""
    monkeypatch.setenv("PLATFORM_HOME", str(home))

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["lineage", *words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def run_id(home: Path) -> str:
    (folder,) = (home / "runs").iterdir()
    return folder.name


# ---- show -----------------------------------------------------------------------


def test_a_run_with_what_each_step_read_and_wrote(cli, home):
    code, out, _ = cli("show", "latest")
    assert code == 0 and out.startswith(f"run {run_id(home)} (six-steps, SUCCEEDED)")
    fit = out[out.index("six-steps.fit ") :]
    assert fit.index("<- platform six-steps.features.out") < fit.index("-> platform six-steps.fit")
    assert cli("show", run_id(home)[:8])[1] == out


def test_a_model_from_its_table_to_its_service(cli):
    code, out, _ = cli("show", "weekly-commits/3")
    upstream, _, downstream = out.partition("models/weekly-commits @ 3: to")
    assert code == 0 and upstream.startswith("mlflow://host models/weekly-commits @ 3: from")
    for made_from in ("train.model", "extract.rows", "abukix repo_weekly", "abukix.commits @ 42"):
        assert made_from in upstream
    assert "promote.deploy" in downstream and "kserve weekly-commits @ 3" in downstream
    assert cli("show", "weekly-commits")[1] == out, "the model comes before the service"


def test_a_dataset_and_everything_that_came_of_it(cli):
    code, out, _ = cli("show", "abukix.commits")
    upstream, _, downstream = out.partition("abukix.commits @ 42: to")
    assert code == 0 and "└" not in upstream
    assert "models/weekly-commits @ 3" in downstream and "kserve weekly-commits" in downstream
    assert "six-steps" not in out


def test_a_feature_view_comes_from_the_table(cli):
    _, out, _ = cli("show", "repo_weekly")
    assert "iceberg abukix.commits @ 42" in out.partition(": to")[0]


def test_json_is_a_graph(cli):
    code, out, _ = cli("show", "weekly-commits/3", "-o", "json")
    told = json.loads(out)
    nodes = {n["id"]: n for n in told["nodes"]}
    assert code == 0 and {n["kind"] for n in nodes.values()} == {"task", "dataset"}
    assert all(a in nodes and b in nodes for a, b in told["edges"])
    named = {(nodes[a]["name"], nodes[b]["name"]) for a, b in told["edges"]}
    assert ("abukix.commits", "train-deploy.extract") in named
    assert ("train-deploy.register", "models/weekly-commits") in named
    assert ("promote.deploy", "weekly-commits") in named
    assert not [n for n in nodes.values() if n["name"].startswith("six-steps")]
    assert not [n for n in nodes.values() if "trial" in n["name"]]


def test_json_of_a_run_has_its_own_tasks_only(cli, home):
    told = json.loads(cli("show", "latest", "-o", "json")[1])
    tasks = [n for n in told["nodes"] if n["kind"] == "task"]
    assert {t["run"] for t in tasks} == {run_id(home)} and len(tasks) == 6


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("weekly-comits", "weekly-commits"),
        ("abukix.commit", "abukix.commits"),
        ("six-steps.fit.modle", "six-steps.fit.model"),
    ],
)
def test_a_near_miss_names_what_was_meant(cli, typed, meant):
    code, out, err = cli("show", typed)
    assert code == 2 and out == ""
    assert f"did you mean {meant}?" in err and f"platform-ctl lineage show {meant}" in err
    assert cli("show", meant)[0] == 0


def test_what_is_nowhere_near(cli):
    code, out, err = cli("show", "qqqqqq")
    assert code == 2 and out == "" and "did you mean" not in err
    assert "no run, dataset or model 'qqqqqq'" in err and "platform-ctl run list" in err


def test_an_alias_of_a_model_that_is_not_registered(cli):
    code, _, err = cli("show", "weekly-commits@production")
    assert code == 3 and "Traceback" not in err


# ---- events ---------------------------------------------------------------------


def test_events_are_one_document_a_line(cli, home):
    code, out, _ = cli("events", "latest")
    told = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and len(told) == 14
    assert told[0]["run"]["runId"] == told[-1]["run"]["runId"] == run_id(home)
    assert (told[0]["eventType"], told[-1]["eventType"]) == ("START", "COMPLETE")


def test_events_as_one_document(cli):
    lines = [json.loads(line) for line in cli("events", "latest")[1].splitlines()]
    assert json.loads(cli("events", "latest", "-o", "json")[1]) == lines


def test_events_of_nothing(cli):
    code, out, err = cli("events", "ffffffff")
    assert code == 2 and out == "" and "no run 'ffffffff'" in err


# ---- repair ---------------------------------------------------------------------


def test_repair_of_what_is_whole_adds_nothing(cli, home):
    assert cli("repair")[:2] == (0, f"added 0 events to run {run_id(home)[:8]}\n")


def test_repair_on_a_full_disk_is_an_error_with_a_fix(cli, home):
    """A folder where the lock belongs is as unwritable as a disk without room."""
    lock = home / "lineage" / "repair.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    try:
        code, out, err = cli("repair")
    finally:
        lock.rmdir()
    assert code == 4 and out == "" and "df -h" in err


# ---- audits ---------------------------------------------------------------------


@pytest.fixture
def audited(home) -> Callable[[Path, int], list[dict[str, Any]]]:
    """Events of an audit of the rows at a path, with so many mismatches."""

    def record(path: Path, mismatches: int) -> list[dict[str, Any]]:
        settings = msgspec.structs.replace(Settings(), home=str(home))
        found = (Mismatch("r", NOON, "c", 1.0, 2.0, "late"),) * mismatches
        report = AuditReport(not mismatches, 5, 50, str(path), "42", found)
        targets.record_audit(settings, RECIPE, report, (NOON, NOON + timedelta(seconds=1)))
        return targets.lineage_outbox(settings).events()[-2:]

    return record


def test_an_audit_is_told_of_the_rows_of_the_run(home, audited):
    rows = home / "runs" / run_id(home) / "tasks" / "clean" / "outputs" / "out"
    start, end = audited(rows, mismatches=0)
    (read,) = end["inputs"]
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"] != run_id(home)
    assert read["name"] == "six-steps.clean.out"
    assert len(read["facets"]["version"]["datasetVersion"]) == 64
    (told,) = read["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert told["success"] and told["actual"] == "0 mismatches in 5 rows"
    assert openlineage_check.check(start) and openlineage_check.check(end)


def test_an_audit_of_rows_that_nobody_kept_is_told_of_the_table(tmp_path, audited):
    (read,) = audited(tmp_path / "rows.parquet", mismatches=2)[1]["inputs"]
    assert (read["namespace"], read["name"]) == ("iceberg", RECIPE.table)
    assert read["facets"]["version"]["datasetVersion"] == "42"
    (told,) = read["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert not told["success"] and told["actual"] == "2 mismatches in 5 rows"
