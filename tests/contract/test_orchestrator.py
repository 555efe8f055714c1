"""The local orchestrator against kfp.local, and beyond it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from platform_ctl.errors import BadParameter, BadPipelineFile, UnsupportedInPipeline, UsageError
from platform_ctl.runs.record import EventKind, RunState, TaskState
from tests.support.orchestration import Lab, answer, oracle, states

CONFORMING = (
    "plain", "artifacts", "typed", "nested", "branches", "loop-static", "loop-dynamic",
    "loop-nested", "loop-dicts", "loop-artifacts", "optional-inputs", "output-paths", "variables",
)  # fmt: skip


@pytest.mark.parametrize("name", CONFORMING)
def test_same_outputs_as_kfp_local(lab: Lab, name: str) -> None:
    expected = oracle(lab.ir)[name]
    assert "outputs" in expected, expected
    run = lab.run(name)
    assert run.state is RunState.SUCCEEDED, run.error
    assert dict(run.outputs.parameters) == expected["outputs"]


@pytest.mark.parametrize(
    ("name", "right", "oracle_says"),
    [
        ("quoted", "different", "error"),
        ("injected", "refused", "deployed"),
        ("oneof-artifact", 6, "error"),
        ("none-default", "None-default", "error"),
        ("exact-ints", '[1, 1.5, "s", false, {"a": 1}, [1, 2]]', '"a": 1.0'),
    ],
)
def test_right_where_kfp_local_is_wrong(
    lab: Lab, name: str, right: object, oracle_says: str
) -> None:
    """When this fails because the oracle got better, move the pipeline to CONFORMING."""
    assert oracle_says in str(oracle(lab.ir)[name])
    assert answer(lab.run(name)) == right


def test_a_branch_not_taken_is_recorded_as_skipped(lab: Lab) -> None:
    run = lab.run("branches", x=1)
    assert answer(run) == "small"
    skipped = [t for t in run.tasks if t.state is TaskState.SKIPPED]
    assert len(skipped) == 2
    assert all("condition is false" in t.error for t in skipped)


def test_exit_handler_runs_after_failure_and_the_run_has_failed(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "status"
    run = lab.run("exit-handler", path=str(out), break_it=True)
    assert run.state is RunState.FAILED
    assert "ValueError: boom" in run.error
    status, name, message = out.read_text().strip().split("|")
    assert (status, name) == ("FAILED", "exit-handler-1")
    assert "boom" in message
    assert "SUCCEEDED" in {s for p, s in states(run).items() if p.endswith("say")}


def test_exit_handler_runs_after_success(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "status"
    assert lab.run("exit-handler", path=str(out), break_it=False).state is RunState.SUCCEEDED
    assert out.read_text().startswith("SUCCEEDED|exit-handler-1|")


def test_ignore_upstream_failure_runs_the_task_and_fails_the_run(lab: Lab, tmp_path: Path) -> None:
    run = lab.run("ignoring", path=str(tmp_path / "out"))
    assert run.state is RunState.FAILED
    assert (tmp_path / "out").read_text() == "after\n"


def test_retries_until_it_works(lab: Lab, tmp_path: Path) -> None:
    run = lab.run("retried", path=str(tmp_path / "tries"), times=2)
    assert (run.state, answer(run)) == (RunState.SUCCEEDED, 3)
    assert run.tasks[0].attempts == 3


def test_retries_are_bounded(lab: Lab, tmp_path: Path) -> None:
    run = lab.run("retried", path=str(tmp_path / "tries"), times=99)
    assert run.state is RunState.FAILED
    assert run.tasks[0].attempts == 6
    assert "try 6" in run.tasks[0].error


def test_verdicts_are_collected_with_their_reasons(lab: Lab) -> None:
    run = lab.run("verdicts", good=False)
    assert run.state is RunState.SUCCEEDED
    assert [(v.task, v.verdict, v.reasons) for v in run.verdicts] == [
        ("judge", "failed", ("because",))
    ]


def test_independent_tasks_run_in_parallel(lab: Lab) -> None:
    begun = time.monotonic()
    assert lab.run("four-naps", seconds=0.5).state is RunState.SUCCEEDED
    assert time.monotonic() - begun < 1.5


def test_second_run_is_served_from_the_cache(lab: Lab) -> None:
    lab.run("artifacts")
    again = lab.run("artifacts")
    assert set(states(again).values()) == {"CACHED"}
    assert answer(again) == 14
    uncached = lab.run("artifacts", use_cache=False)
    assert set(states(uncached).values()) == {"SUCCEEDED"}


def test_a_task_without_caching_is_never_served_from_the_cache(lab: Lab, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    for _ in range(2):
        lab.run("retried", path=str(tries), times=0)
    assert tries.read_text() == ".."


def test_parameters_of_megabytes(lab: Lab) -> None:
    text = "é$(rm -rf /)'\"\n" * 200_000
    assert answer(lab.run("big", text=text)) == text


def test_wrong_parameters_are_refused_before_anything_starts(lab: Lab) -> None:
    for bad in ({"y": 1}, {"x": "1"}, {"x": 1.5}, {"x": True}, {"x": None}):
        with pytest.raises(BadParameter):
            lab.run("plain", **bad)
    assert lab.orchestrator.list(10) == []


def test_a_condition_that_is_not_cel_is_refused_before_anything_starts(lab: Lab) -> None:
    with pytest.raises(BadPipelineFile, match="condition"):
        lab.run("unquotable")
    assert lab.orchestrator.list(10) == []


def test_a_container_component_is_refused_by_name(lab: Lab, tmp_path: Path) -> None:
    text = (lab.ir / "plain.yaml").read_text()
    changed = text.replace("ephemeral_component.py", "something_else.py")
    (tmp_path / "container.yaml").write_text(changed)
    with pytest.raises(UnsupportedInPipeline, match="container component"):
        replace(lab, ir=tmp_path).run("container")
    assert lab.orchestrator.list(10) == []


def test_events_tell_every_change(lab: Lab) -> None:
    run = lab.run("plain")
    tasks = [(e.task.path, e.state) for e in lab.events if e.kind is EventKind.TASK]
    assert tasks == [
        ("add", "RUNNING"), ("add", "SUCCEEDED"), ("add-2", "RUNNING"), ("add-2", "SUCCEEDED"),
    ]  # fmt: skip
    assert [e.state for e in lab.events if e.kind is EventKind.RUN] == ["RUNNING", "SUCCEEDED"]
    assert run.tasks[0].usage.cpu_s > 0
    assert run.tasks[0].usage.peak_memory_bytes > 1e6


def test_submit_is_detached_and_idempotent(lab: Lab) -> None:
    request = replace(lab.request("plain", x=4), idempotency_key="once")
    first = lab.orchestrator.submit(request)
    assert lab.orchestrator.submit(request).id == first.id
    deadline = time.monotonic() + 20
    while not (run := lab.orchestrator.get(first.id)).state.final and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (run.state, answer(run)) == (RunState.SUCCEEDED, 16)
    assert len(lab.orchestrator.list(10)) == 1


def test_resume_of_a_success_is_refused(lab: Lab) -> None:
    run = lab.run("plain")
    with pytest.raises(UsageError):
        lab.orchestrator.resume(run.id, lab.events.append)


def test_ids_by_prefix_and_latest(lab: Lab) -> None:
    run = lab.run("plain")
    assert lab.orchestrator.get(run.id[:6]).id == lab.orchestrator.get("latest").id == run.id


def test_nothing_is_left_in_the_temporary_directory(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    lab.run("artifacts")
    assert list(temporary.iterdir()) == []
