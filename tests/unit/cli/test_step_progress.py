"""What a running step says of its progress reaches whoever watches the run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from platform_ctl.cli.step_progress import StepProgress, ThrottledProgress
from platform_ctl.errors import KfpUnavailable
from platform_ctl.progress import Progress, line
from platform_ctl.runs.record import EventKind, Run, RunEvent, RunState, Task, TaskState
from tests.support.waiting import eventually

START = datetime(2026, 3, 2, tzinfo=UTC)


class Logs:
    """A reader of one run; ``down``: how many times its log cannot be read."""

    def __init__(self, down: int = 0) -> None:
        self.written = b""
        self._down = down

    def get(self, run_id: str) -> Run:
        return Run(run_id, run_id, "p", RunState.RUNNING, "2026-03-02T00:00:00Z", "/nowhere")

    def log(self, run: Run, task: Task, begin: int = 0) -> bytes:
        if self._down:
            self._down -= 1
            raise KfpUnavailable("no answer", where="here", fix="wait")
        return self.written[begin:]


def event(state: TaskState, attempt: int = 1) -> RunEvent:
    task = Task("tune", "tune", "tune", state, attempts=attempt)
    return RunEvent(EventKind.TASK, "r", task=task)


def trials(done: int) -> bytes:
    at = START + timedelta(seconds=done)
    return line(Progress(done, 20, "trials", START, at)).encode() + b"\n"


def test_the_newest_state_of_a_step_is_said_once() -> None:
    logs, said = Logs(down=1), []
    with StepProgress(logs, lambda *words: said.append(words), poll_s=0.01) as steps:
        steps(event(TaskState.RUNNING))
        logs.written += b"noise\n" + trials(1) + trials(2)
        eventually(lambda: said == [("tune", "2 of 20 trials, about 18 s left")])
        logs.written += trials(3) + b'progress {"done"'
        eventually(lambda: len(said) == 2)
        steps(event(TaskState.SUCCEEDED))
    assert said[1] == ("tune", "3 of 20 trials, about 17 s left")


def test_a_new_attempt_is_read_from_its_beginning() -> None:
    logs, said = Logs(), []
    with StepProgress(logs, lambda *words: said.append(words), poll_s=0.01) as steps:
        steps(event(TaskState.RUNNING))
        logs.written = trials(9) + trials(10)
        eventually(lambda: len(said) == 1)
        logs.written = trials(1)
        steps(event(TaskState.RUNNING, attempt=2))
        eventually(lambda: said[-1][1].startswith("1 of 20"))


def test_a_pipe_is_spared() -> None:
    said = []
    spare = ThrottledProgress(lambda *words: said.append(words), every_s=3600)
    spare("tune", "1 of 20")
    spare("tune", "2 of 20")
    spare("train", "1 of 5")
    assert said == [("tune", "1 of 20"), ("train", "1 of 5")]
