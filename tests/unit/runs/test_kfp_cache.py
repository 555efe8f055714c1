"""What a task that KFP's cache answered put out, and why it was answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_ctl.cluster.kfp import Kfp
from platform_ctl.runs.kubernetes.api import RunsApi
from platform_ctl.runs.kubernetes.decisions import KfpDecisions
from platform_ctl.runs.kubernetes.driver import Driver, read_driver
from platform_ctl.runs.kubernetes.runs import KfpRuns
from platform_ctl.runs.record import Outputs, Run, RunRequest, TaskState, TaskVerdict
from tests.fakes.kfp_runs import Runs
from tests.fakes.kfp_server import NOT_FOUND, Fault, serve
from tests.support import run_pipelines

DATA = Path(__file__).parents[2] / "data" / "kfp"
IMAGE = "example/python-recipe:1"
INDEX = "/v1alpha1/tasks"


def judged(folder: Path, runs: KfpRuns, x: int = -7) -> Run:
    file = run_pipelines.write(folder, "judged", run_pipelines.judged(IMAGE))
    return runs.run(RunRequest(file, {"x": x}), lambda event: None)


def test_a_recorded_hit_names_the_execution_that_it_takes_its_outputs_from() -> None:
    hit, miss = (read_driver((DATA / f"driver-{n}.log").read_bytes()) for n in ("hit", "miss"))
    assert hit == Driver(
        "7",
        "d4e844d71efdfba6722b90db478c96a5e0c9de9e47a3a6e6932fb5957d88b23e",
        "2",
        Outputs({"x": -77}),
    )
    assert miss and (miss.execution_id, miss.cached_execution_id) == ("5", "")


@pytest.mark.parametrize("log", [b"", b"I1128 01:38:53.324025      15 main.go:119] Setting"])
def test_a_driver_that_has_not_decided_says_nothing(log: bytes) -> None:
    assert read_driver(log) is None


def test_a_value_of_a_step_is_no_property_of_its_driver() -> None:
    """protobuf's text format escapes what a value could break out with."""
    forged = r"custom_properties:{key:\"cached_execution_id\" value:{string_value:\"9\"}}"
    value = f'value:{{struct_value:{{fields:{{key:"x" value:{{string_value:"{forged}"}}}}}}}}'
    log = (
        "I1128 01:38:53.324025      15 container.go:204] Created execution: id:7  type_id:13  "
        f'custom_properties:{{key:"inputs"  {value}}}\n'
    )
    assert read_driver(log.encode()) == Driver("7")


def test_a_verdict_whose_run_is_gone_is_inconclusive(tmp_path: Path) -> None:
    part = Runs()
    with serve(part) as fake:
        runs = KfpRuns(RunsApi(Kfp(fake.url)), poll_s=0.01)
        first = judged(tmp_path, runs)
        again = judged(tmp_path, runs)
        assert again.verdicts == first.verdicts
        runs.delete(first)
        read = KfpRuns(runs.api).get(again.id)
    assert next(t for t in read.tasks if t.path == "judge").state is TaskState.CACHED
    ((task, verdict, reasons),) = [(v.task, v.verdict, v.reasons) for v in read.verdicts]
    assert (task, verdict) == ("judge", "inconclusive")
    assert "the run whose result the cache gave it is gone" in reasons[0]


def test_a_server_without_an_index_of_the_cache_leaves_outputs_unknown(tmp_path: Path) -> None:
    with serve(Runs(), faults=[Fault("GET", INDEX, code=NOT_FOUND)]) as fake:
        runs = KfpRuns(RunsApi(Kfp(fake.url)), poll_s=0.01)
        judged(tmp_path, runs)
        again = judged(tmp_path, runs)
    assert [v.verdict for v in again.verdicts] == ["inconclusive"]


def test_an_executed_verdict_whose_log_is_gone_is_inconclusive(tmp_path: Path) -> None:
    with serve(Runs(), faults=[Fault("GET", "/log|main-logs", code=NOT_FOUND)]) as fake:
        run = judged(tmp_path, KfpRuns(RunsApi(Kfp(fake.url)), poll_s=0.01))
    gone = "what it decided cannot be read: its log is gone"
    assert run.verdicts == (TaskVerdict("judge", "inconclusive", (gone,)),)


def test_a_hit_and_a_miss_are_explained_with_kfps_own_fingerprint(tmp_path: Path) -> None:
    with serve(Runs()) as fake:
        runs = KfpRuns(RunsApi(Kfp(fake.url)), poll_s=0.01)
        decisions = KfpDecisions(runs.api).decisions
        first, again = judged(tmp_path, runs), judged(tmp_path, runs)
        other = judged(tmp_path, runs, x=-8)
        made, hit, missed = (
            {d.task: d for d in decisions(run.id)} for run in (first, again, other)
        )
    assert made["judge"].decision == "MISS" and made["judge"].fingerprint
    assert (hit["judge"].decision, hit["judge"].source_run_id) == ("HIT", first.id)
    assert hit["judge"].fingerprint == made["judge"].fingerprint
    assert missed["judge"].decision == "MISS"
    assert missed["judge"].reason == "parameters.x: -7 -> -8"
    assert missed["judge"].fingerprint != hit["judge"].fingerprint


def test_a_task_without_caching_asked_nothing(tmp_path: Path) -> None:
    with serve(Runs()) as fake:
        runs = KfpRuns(RunsApi(Kfp(fake.url)), poll_s=0.01)
        file = run_pipelines.write(tmp_path, "chain", run_pipelines.chain(IMAGE, "boom"))
        run = runs.run(RunRequest(file, {"x": 1}), lambda event: None)
        (decision, *_) = KfpDecisions(runs.api).decisions(run.id)
    assert (decision.decision, decision.fingerprint) == ("BYPASS", "")
