"""The live view of a run: steps in the order of the flow, and how long it all has taken."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from platform_ctl.cli.progress import ProgressDisplay
from platform_ctl.runs.record import EventKind, RunEvent, Task, TaskState


def task(path: str, state: TaskState, *, begun_s_ago: float = 0.0) -> RunEvent:
    begun = (datetime.now(UTC) - timedelta(seconds=begun_s_ago)).isoformat()
    made = Task(path, path.rpartition(".")[2], "", state, begun, attempts=1)
    return RunEvent(EventKind.TASK, "cafe0000-1111", str(state), made)


def shown(display: ProgressDisplay) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=100).print(display.screen())
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_line_below_the_steps_counts_them_and_names_the_run() -> None:
    display = ProgressDisplay(["extract", "train", "condition-1.register"])
    assert shown(display)[-1].startswith("0 of 3 steps, 0.0")
    display(task("extract", TaskState.CACHED))
    display(task("train", TaskState.RUNNING))
    first, second, third, last = shown(display)
    assert [line.split()[:2] for line in (first, second, third)] == [
        ["extract", "CACHED"],
        ["train", "RUNNING"],
        ["register", "PENDING"],
    ]
    assert last.startswith("run cafe0000, 1 of 3 steps, ")


def test_a_step_that_began_before_somebody_looked_shows_all_its_time() -> None:
    display = ProgressDisplay(["train"])
    display(task("train", TaskState.RUNNING, begun_s_ago=7200))
    assert "2 h" in shown(display)[0]
