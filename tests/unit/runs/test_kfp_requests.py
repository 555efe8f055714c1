"""How often KFP's API server is asked, which is what a look at a run costs its reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from platform_ctl.cluster.kfp import Kfp
from platform_ctl.runs.kubernetes.api import KeptLogs, RunsApi
from platform_ctl.runs.kubernetes.ledger import KfpLedger
from platform_ctl.runs.kubernetes.runs import KfpRuns
from platform_ctl.runs.kubernetes.workloads import DeferredWorkloads
from platform_ctl.runs.record import Run, RunRequest
from tests.fakes.kfp_runs import Runs
from tests.fakes.kfp_server import FakeKfp, Fault, serve
from tests.support import run_pipelines

IMAGE = "example/python-recipe:1"


def judged(folder: Path, fake: FakeKfp, *, x: int = 1) -> Run:
    file = run_pipelines.write(folder, "judged", run_pipelines.judged(IMAGE))
    return KfpRuns(RunsApi(Kfp(fake.url))).submit(RunRequest(file, {"x": x}))


def asked(fake: FakeKfp) -> list[str]:
    """The last part of each path that was asked for since the last call."""
    found = [r.path.rpartition("/")[2] for r in fake.requests]
    fake.requests.clear()
    return found


def test_outputs_and_costs_of_a_run_are_read_from_each_log_once(tmp_path: Path) -> None:
    with serve(Runs()) as fake:
        run_id = judged(tmp_path, fake).id
        api = RunsApi(Kfp(fake.url))
        fake.requests.clear()
        run = KfpRuns(api).get(run_id)
        assert sorted(asked(fake)) == sorted([run.id, *["main-logs:read"] * 2])
        assert KfpLedger(api, 1.0).entries(run.id)
        assert asked(fake) == [run.id]


def test_a_hit_costs_its_driver_the_index_and_what_was_produced(tmp_path: Path) -> None:
    with serve(Runs()) as fake:
        first, again = judged(tmp_path, fake), judged(tmp_path, fake)
        fake.requests.clear()
        run = KfpRuns(RunsApi(Kfp(fake.url))).get(again.id)
        assert run.verdicts == first.verdicts
        of_hits = ["tasks"] * 2 + ["main-logs:read"] * 6  # drivers of hits and producers, results
        assert sorted(asked(fake)) == sorted([again.id, first.id, *of_hits])


def test_the_latest_run_is_a_page_of_one(tmp_path: Path) -> None:
    with serve(Runs()) as fake:
        judged(tmp_path, fake)
        fake.requests.clear()
        KfpRuns(RunsApi(Kfp(fake.url))).get("latest")
        assert fake.requests[0].query["page_size"] == "1"


def test_a_list_with_verdicts_asks_for_no_run_by_itself(tmp_path: Path) -> None:
    with serve(Runs()) as fake:
        for x in (1, -1, 2):
            judged(tmp_path, fake, x=x)
        runs = KfpRuns(RunsApi(Kfp(fake.url)))
        fake.requests.clear()
        found = runs.list(2)
        assert fake.requests[0].query["page_size"] == "2" and asked(fake) == ["runs"]
        told = runs.outcomes(found)
        assert asked(fake) == ["main-logs:read"] * 2  # of ``judge``, not of ``double``
    assert [r.id for r in told] == [r.id for r in found]
    assert {v.verdict for r in told for v in r.verdicts} <= {"successful", "failed"}


def test_a_run_that_is_gone_has_the_outcome_that_is_known(tmp_path: Path) -> None:
    part = Runs()
    with serve(part) as fake:
        judged(tmp_path, fake)
        (listed,) = KfpRuns(RunsApi(Kfp(fake.url))).list(1)
        part.kept.clear()
        assert KfpRuns(RunsApi(Kfp(fake.url))).outcomes([listed]) == [listed]


def test_lines_that_are_json_reach_the_reader(tmp_path: Path) -> None:
    """The archive has them; KFP's own reading of it leaves them out."""
    part = Runs(filtered=True)
    with serve(part) as fake:
        run = judged(tmp_path, fake)
        for step in part.kept[run.id].steps.values():
            step.log = '{"level": "info", "event": "epoch"}\n' + step.log
        runs = KfpRuns(RunsApi(Kfp(fake.url)))
        assert runs.log(run, run.tasks[0]).startswith(b'{"level"')


def test_a_server_without_an_archive_serves_the_pods_log(tmp_path: Path) -> None:
    with serve(Runs(filtered=True), faults=[Fault("GET", "main-logs", code=5)]) as fake:
        run = judged(tmp_path, fake)
        assert run.verdicts[0].verdict == "successful"


def test_kept_logs_have_a_bound() -> None:
    kept = KeptLogs(limit_bytes=5)
    kept.keep("r", "a", b"1234")
    kept.keep("r", "b", b"12")
    assert kept.get("r", "a") == b"1234" and kept.get("r", "b") is None


def test_workloads_are_asked_only_about_a_run_that_did_not_go_well(tmp_path: Path) -> None:
    def connect() -> Any:
        pytest.fail("the client of the API server was made")

    with serve(Runs()) as fake:
        run = judged(tmp_path, fake)
        runs = KfpRuns(RunsApi(Kfp(fake.url)), workloads=DeferredWorkloads(connect))
        assert runs.get(run.id).verdicts
