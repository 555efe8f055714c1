"""Real faults: killed processes, hostile steps, full disks, two orchestrators, malicious IR."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from platform_ctl.errors import BadPipelineFile, HomeBusy
from platform_ctl.runs.record import Run, RunRequest, RunState
from tests.support.orchestration import ROOT, Lab, answer, states
from tests.support.waiting import eventually


def start(lab: Lab, name: str, *words: str, limit_bytes: int = 0) -> subprocess.Popen[bytes]:
    """The command line, as a user starts it; no file may grow beyond the limit."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes},) * 2); "
    program = "from platform_ctl.cli.app import main; main()"
    command = [
        sys.executable, "-c", limit + program if limit_bytes else program,
        "pipeline", "run", str(lab.ir / f"{name}.yaml"), *words,
    ]  # fmt: skip
    env = {**os.environ, "PLATFORM_HOME": str(lab.home)}
    return subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def wait_for_run(lab: Lab, tasks: int = 1, timeout_s: float = 20) -> Run:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        runs = lab.orchestrator.list(1)
        if runs and len(lab.orchestrator.get(runs[0].id).tasks) >= tasks:
            return lab.orchestrator.get(runs[0].id)
        time.sleep(0.02)
    raise AssertionError("the run did not start")


def first_child(process: psutil.Process) -> psutil.Process:
    return eventually(process.children, seconds=20)[0]


def processes_of(run: Run) -> list[psutil.Process]:
    """Everything that carries the run's id in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PLATFORM_RUN_ID") == run.id:
                found.append(process)
        except psutil.Error:
            continue
    return found


def assert_no_orphans(run: Run) -> None:
    deadline = time.monotonic() + 5
    while processes_of(run) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(run) == []


def test_kill_9_of_the_orchestrator_then_resume(lab: Lab) -> None:
    """At random instants; every resumed run ends as an undisturbed one, nothing twice."""
    for attempt in range(4):
        process = start(lab, "slow-loop", "--no-cache")
        wait_for_run(lab)
        time.sleep(random.Random(attempt).uniform(0, 0.6))
        process.kill()
        process.wait()
        run = lab.orchestrator.get("latest")
        if run.state is RunState.SUCCEEDED:
            continue
        assert run.state is RunState.FAILED
        assert "orphaned" in run.error
        assert_no_orphans(run)
        done = {t.path for t in run.tasks if t.state.good}
        lab.events.clear()
        resumed = lab.orchestrator.resume(run.id, lab.events.append)
        assert (resumed.state, answer(resumed)) == (RunState.SUCCEEDED, 15)
        again = {e.task.path for e in lab.events if e.task is not None}
        assert not done & again
        assert len({t.path for t in resumed.tasks}) == len(resumed.tasks) == 6


def test_a_submitted_run_that_died_is_continued_once_by_the_next_submission(lab: Lab) -> None:
    request = replace(lab.request("slow-loop", use_cache=False), idempotency_key="once")

    def killed() -> Run:
        wait_for_run(lab)
        os.kill(lab.orchestrator.get("latest").pid, signal.SIGKILL)
        eventually(lambda: lab.orchestrator.get("latest").died)
        return lab.orchestrator.get("latest")

    first = lab.orchestrator.submit(request)
    before = killed()
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: lab.orchestrator.submit(request), range(4)))
    assert {r.id for r in again} == {first.id}
    assert lab.orchestrator.list(9)[0].id == first.id and len(lab.orchestrator.list(9)) == 1
    done = eventually(lambda: (r := lab.orchestrator.get(first.id)).state.final and r, seconds=30)
    assert (done.state, answer(done)) == (RunState.SUCCEEDED, 15)
    kept = {t.path: t.ended_at for t in before.tasks if t.state.good}
    assert kept.items() <= {t.path: t.ended_at for t in done.tasks}.items()


def _submit_in_a_process(lab: Lab, request: RunRequest) -> str:
    return lab.orchestrator.submit(request).id


def test_submitted_by_many_at_once_it_is_one_run(lab: Lab) -> None:
    request = replace(lab.request("plain", x=4), idempotency_key="at once")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        ids = pool.starmap(_submit_in_a_process, [(lab, request)] * 8)
    assert len(set(ids)) == len(lab.orchestrator.list(9)) == 1
    assert [p.name for p in lab.settings.layout.runs.iterdir()] == ids[:1]
    done = eventually(lambda: (r := lab.orchestrator.get(ids[0])).state.final and r, seconds=30)
    assert (done.state, answer(done)) == (RunState.SUCCEEDED, 16)


def test_a_run_that_dies_again_or_fails_by_itself_is_left_alone(lab: Lab, tmp_path: Path) -> None:
    request = replace(lab.request("slow-loop", use_cache=False), idempotency_key="twice")
    lab.orchestrator.submit(request)
    for _ in range(2):
        eventually(lambda: lab.orchestrator.get("latest").state is RunState.RUNNING)
        os.kill(lab.orchestrator.get("latest").pid, signal.SIGKILL)
        eventually(lambda: lab.orchestrator.get("latest").died)
        left = lab.orchestrator.submit(request)
    assert left.died
    failing = replace(
        lab.request("exit-handler", path=str(tmp_path / "status"), break_it=True),
        idempotency_key="bad",
    )
    run = lab.orchestrator.submit(failing)
    eventually(lambda: lab.orchestrator.get(run.id).state.final, seconds=30)
    assert lab.orchestrator.submit(failing).state is RunState.FAILED
    assert not (Path(run.directory) / "revived").exists()


def two_that_compute_the_same(lab: Lab, path: Path) -> tuple[Run, Run]:
    """Two runs, of which the first computes and the second waits for it."""
    request = lab.request("held", path=str(path))
    first = lab.orchestrator.submit(replace(request, idempotency_key="first"))
    eventually(lambda: path.exists() and path.read_text() == "x", seconds=30)
    second = lab.orchestrator.submit(replace(request, idempotency_key="second"))
    says = f"run {first.id[:8]} computes the same"
    eventually(
        lambda: any(says in t.cache for t in lab.orchestrator.get(second.id).tasks), seconds=30
    )
    return first, second


def ended(lab: Lab, run: Run) -> Run:
    return eventually(lambda: (r := lab.orchestrator.get(run.id)).state.final and r, seconds=30)


def test_two_equal_runs_at_once_compute_each_step_once(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "executions"
    first, second = two_that_compute_the_same(lab, path)
    (tmp_path / "executions.go").touch()
    assert states(ended(lab, first)) == {"counted": "SUCCEEDED"}
    assert states(ended(lab, second)) == {"counted": "CACHED"}
    assert path.read_text() == "x"
    assert list((lab.settings.layout.cache / "computing").iterdir()) == []


def test_who_waits_for_a_run_that_is_killed_computes_itself(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "executions"
    first, second = two_that_compute_the_same(lab, path)
    os.kill(lab.orchestrator.get(first.id).pid, signal.SIGKILL)
    eventually(lambda: path.read_text() == "xx", seconds=30)
    (tmp_path / "executions.go").touch()
    done = ended(lab, second)
    assert (states(done), answer(done)) == ({"counted": "SUCCEEDED"}, 1)
    assert lab.orchestrator.get(first.id).died


def test_who_waits_for_a_step_that_fails_or_is_cancelled_computes_itself(
    lab: Lab, tmp_path: Path
) -> None:
    path = tmp_path / "executions"
    first, second = two_that_compute_the_same(lab, path)
    assert lab.orchestrator.cancel(first.id).state is RunState.CANCELED
    eventually(lambda: path.read_text() == "xx", seconds=30)
    (tmp_path / "executions.go").touch()
    assert ended(lab, second).state is RunState.SUCCEEDED


def test_who_waits_can_be_cancelled(lab: Lab, tmp_path: Path) -> None:
    first, second = two_that_compute_the_same(lab, tmp_path / "executions")
    assert lab.orchestrator.cancel(second.id).state is RunState.CANCELED
    (tmp_path / "executions.go").touch()
    assert ended(lab, first).state is RunState.SUCCEEDED


def test_kill_9_of_a_step_is_a_failure_that_resume_repairs(lab: Lab) -> None:
    process = start(lab, "slow-loop", "--no-cache", "-p", "seconds=1")
    run = wait_for_run(lab)
    first_child(first_child(psutil.Process(process.pid))).kill()
    process.communicate()
    assert process.returncode == 5
    failed = lab.orchestrator.get(run.id)
    assert any("SIGKILL" in t.error for t in failed.tasks)
    assert answer(lab.orchestrator.resume(run.id, lab.events.append)) == 15


def test_kill_9_of_the_step_server_fails_its_steps_and_leaves_nothing(lab: Lab) -> None:
    process = start(lab, "four-naps", "-p", "seconds=20")
    run = wait_for_run(lab, tasks=4)
    server = first_child(psutil.Process(process.pid))
    first_child(server)
    server.kill()
    process.communicate(timeout=10)
    assert process.returncode == 5
    assert_no_orphans(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_run_within_two_seconds(lab: Lab, number: int) -> None:
    process = start(lab, "four-naps", "-p", "seconds=30")
    run = wait_for_run(lab, tasks=4)
    begun = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=5)
    assert time.monotonic() - begun < 2
    assert process.returncode == 130
    ended = lab.orchestrator.get(run.id)
    assert ended.state is RunState.CANCELED
    assert set(states(ended).values()) == {"CANCELED"}
    assert_no_orphans(run)


def test_cancelling_a_suspended_run_names_its_process(lab: Lab) -> None:
    process = start(lab, "four-naps", "-p", "seconds=30")
    run = wait_for_run(lab, tasks=4)
    process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(HomeBusy, match=f"process {process.pid}") as refused:
            lab.orchestrator.cancel(run.id)
        assert refused.value.fix.startswith(f"kill -CONT {process.pid} && ")
    finally:
        process.send_signal(signal.SIGCONT)
    process.communicate(timeout=30)
    assert process.returncode == 130, "the signal of before has ended it"


def test_cancel_from_another_process(lab: Lab) -> None:
    process = start(lab, "four-naps", "-p", "seconds=30")
    run = wait_for_run(lab, tasks=4)
    assert lab.orchestrator.cancel(run.id).state is RunState.CANCELED
    process.communicate(timeout=5)
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("nan", "no place in JSON"),
        ("surrogate", "not Unicode"),
        ("signal", "SIGSEGV"),
        ("exit", "exit code 3"),
        ("unwritten", "without writing its output"),
    ],
)
def test_a_step_that_misbehaves_fails_by_name(lab: Lab, how: str, says: str) -> None:
    run = lab.run("hostile", how=how)
    assert run.state is RunState.FAILED
    assert says in run.error


def test_binary_and_much_output_go_to_the_log(lab: Lab) -> None:
    run = lab.run("hostile", how="noise")
    assert run.state is RunState.SUCCEEDED, run.error
    log = Path(run.directory) / run.tasks[0].log
    assert log.stat().st_size > 50_000_000


def test_a_daemon_left_by_a_step_is_killed_and_does_not_hold_the_run(lab: Lab) -> None:
    begun = time.monotonic()
    run = lab.run("hostile", how="daemon")
    assert run.state is RunState.SUCCEEDED, run.error
    assert time.monotonic() - begun < 10
    assert_no_orphans(run)


def test_a_step_that_hangs_is_ended_by_its_timeout(lab: Lab, tmp_path: Path) -> None:
    text = (lab.ir / "hostile.yaml").read_text()
    executors = "{exec-misbehave: {activeDeadlineSeconds: 1}}"
    platform = f"platforms: {{kubernetes: {{deploymentSpec: {{executors: {executors}}}}}}}"
    (tmp_path / "timed.yaml").write_text(f"{text}\n---\n{platform}\n")
    run = Lab(tmp_path, lab.home).run("timed", how="hang")
    assert run.state is RunState.FAILED
    assert "timed out after 1 s" in run.error
    assert_no_orphans(run)


def test_a_run_that_exceeds_its_deadline_is_ended(lab: Lab, tmp_path: Path) -> None:
    text = (lab.ir / "four-naps.yaml").read_text()
    platform = "platforms: {kubernetes: {pipelineConfig: {activeDeadlineSeconds: 1}}}"
    (tmp_path / "late.yaml").write_text(f"{text}\n---\n{platform}\n")
    run = Lab(tmp_path, lab.home).run("late", seconds=60)
    assert (run.state, run.error) == (RunState.FAILED, "the run exceeded its deadline")
    assert set(states(run).values()) == {"CANCELED"}


def test_two_orchestrators_on_one_home(lab: Lab) -> None:
    both = [start(lab, "loop-dynamic"), start(lab, "loop-dynamic")]
    for process in both:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output.decode()
    runs = lab.orchestrator.list(5)
    assert [r.state for r in runs] == [RunState.SUCCEEDED] * 2
    assert [answer(r) for r in runs] == [10, 10]


def test_no_room_on_the_disk_is_an_error_with_a_fix(lab: Lab) -> None:
    """RLIMIT_FSIZE stands in for a full disk: writes beyond it fail with EFBIG."""
    run = lab.run("hostile", how="full")
    assert run.state is RunState.FAILED
    assert "File too large" in run.error


def test_no_room_for_the_records_is_four_lines_and_leaves_a_readable_home(lab: Lab) -> None:
    lab.run("plain")
    process = start(lab, "slow-loop", "--no-cache", limit_bytes=100_000)
    output, _ = process.communicate(timeout=30)
    assert process.returncode in (4, 5), output.decode()
    assert b"Traceback" not in output
    assert b"fix:" in output
    assert len(lab.orchestrator.list(5)) in (1, 2)
    assert lab.run("plain").state is RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("      add:\n", "      ../../evil:\n"),
        ("name: plain", "name: ../evil"),
        ("schemaVersion: 2.1.0", "schemaVersion: 2.1.0\nsurprise: 1"),
        ("schemaVersion: 2.1.0", "schemaVersion: !!python/object/apply:os.system ['true']"),
        ("sdkVersion:", "sdkVersion: &a [x, x]\nextra: [*a, *a]\nsdk:"),
    ],
)
def test_malicious_ir_is_refused(lab: Lab, tmp_path: Path, old: str, new: str) -> None:
    text = (lab.ir / "plain.yaml").read_text()
    assert old in text
    (tmp_path / "evil.yaml").write_text(text.replace(old, new))
    with pytest.raises(BadPipelineFile):
        Lab(tmp_path, lab.home).run("evil")
    assert lab.orchestrator.list(1) == []


def test_an_alias_bomb_is_refused_quickly(lab: Lab, tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "bomb.yaml").write_text("\n".join(["pipelineInfo: {name: bomb}", *lines]))
    begun = time.monotonic()
    with pytest.raises(BadPipelineFile):
        Lab(tmp_path, lab.home).run("bomb")
    assert time.monotonic() - begun < 5
