"""Trials as OpenLineage runs: what each one was given, how it ended, where it belongs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from platform_ctl.lineage.events import task_run_id
from platform_ctl.lineage.facets import Naming, Producer
from platform_ctl.lineage.trials import trial_events
from platform_ctl.runs.record import Artifact, Outputs, Run, RunState, Task, TaskState
from platform_ctl.tuning.experiment import Assignment, Metric, Observation, Trial, TrialState
from tests.support.experiments import double, experiment

RUN_ID = "a1111111-0000-4000-8000-000000000000"
RUN = Run(RUN_ID, "r", "train", RunState.RUNNING, "2026-01-01T00:00:00Z", "/home/runs/r")
ROWS = Artifact("rows", f"/h/runs/{RUN_ID}/tasks/extract/outputs/rows", digest="d1")
TASK = Task(
    "tune", "tune", "comp-tune", TaskState.SUCCEEDED,
    ended_at="2026-01-01T01:00:00.000Z", inputs=Outputs({}, {"rows": (ROWS,)}),
)  # fmt: skip
START = datetime(2026, 1, 1, tzinfo=UTC)
BY = Producer("1", Naming("platform", "mlflow://h", lambda p, m: None, lambda n: None, {}))


def trial(number: int, state: TrialState, **more: Any) -> Trial:
    started = START + timedelta(seconds=number)
    return Trial(
        f"t-{number}", number, (Assignment("x", str(number)),),
        state=state, start_time=started, **more,
    )  # fmt: skip


def events(*trials: Trial) -> list[dict[str, Any]]:
    return trial_events(RUN, TASK, experiment(double("x", 0, 1)), trials, BY)


def observed(value: str) -> dict[str, Any]:
    done = START + timedelta(minutes=1)
    metric = Metric("loss", value, value, value)
    return {"observation": Observation((metric,)), "completion_time": done, "cpu_s": 2.5}


def test_a_trial_is_a_child_of_its_task_and_of_its_run() -> None:
    start, end = events(trial(0, TrialState.SUCCEEDED, **observed("0.5")))
    for event in (start, end):
        parent = event["run"]["facets"]["parent"]
        assert parent["run"]["runId"] == task_run_id(RUN_ID, "tune")
        assert parent["job"]["name"] == "train.tune"
        assert parent["root"]["run"]["runId"] == RUN_ID
        assert event["job"]["name"] == "train.tune.trial"
        assert event["job"]["facets"]["jobType"]["jobType"] == "TRIAL"
    assert start["run"]["runId"] == end["run"]["runId"]
    assert [d["name"] for d in end["inputs"]] == ["train.extract.rows"]


def test_parameters_come_with_the_start_and_the_objective_with_the_end() -> None:
    start, end = events(trial(3, TrialState.SUCCEEDED, **observed("0.5")))
    given, told = (e["run"]["facets"]["platform_trial"] for e in (start, end))
    assert given["parameters"] == told["parameters"] == {"x": "3"}
    assert "value" not in given["objective"] and "state" not in given
    assert told["objective"]["value"] == 0.5
    assert (told["number"], told["state"], told["cpuSeconds"]) == (3, "Succeeded", 2.5)


def test_how_trials_end() -> None:
    ends = {
        e["run"]["facets"]["platform_trial"]["trial"]: e
        for e in events(
            trial(0, TrialState.SUCCEEDED, **observed("0.5")),
            trial(1, TrialState.EARLY_STOPPED, **observed("0.9")),
            trial(2, TrialState.FAILED, message="CUDA", completion_time=START),
            trial(3, TrialState.METRICS_UNAVAILABLE, reason="MetricsUnavailable"),
            trial(4, TrialState.KILLED),
            trial(5, TrialState.RUNNING),
        )
        if e["eventType"] != "START"
    }
    assert [ends[f"t-{n}"]["eventType"] for n in range(6)] == [
        "COMPLETE", "COMPLETE", "FAIL", "FAIL", "ABORT", "ABORT",
    ]  # fmt: skip
    assert ends["t-2"]["run"]["facets"]["errorMessage"]["message"] == "CUDA"
    assert "value" not in ends["t-3"]["run"]["facets"]["platform_trial"]["objective"]
    assert ends["t-5"]["eventTime"] == TASK.ended_at


def test_one_that_never_started_is_no_run() -> None:
    assert events(Trial("t", 0, ())) == []


def test_in_the_order_of_time() -> None:
    told = events(*(trial(n, TrialState.SUCCEEDED, **observed("1")) for n in (2, 0, 1)))
    times = [e["eventTime"] for e in told]
    assert times == sorted(times) and [e["eventType"] for e in told[:3]] == ["START"] * 3
