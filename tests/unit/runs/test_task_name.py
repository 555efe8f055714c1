"""Names of tasks as people read and type them; which runs a list shows; order of the flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from platform_ctl.errors import UnknownName
from platform_ctl.runs.record import Run, RunState, Task, TaskState, TaskVerdict
from platform_ctl.runs.select import Selection, newest
from platform_ctl.runs.task_name import find_task, in_flow, matching, shown, to_come

PATHS = ("resolve", "condition-1.register", "for-loop-1.0.add", "for-loop-1.1.add")


def task(path: str, started_at: str | None = "2026-11-28T01:00:00.000Z") -> Task:
    return Task(path, path.rpartition(".")[2], "c", TaskState.SUCCEEDED, started_at)


def run(number: int = 0, state: RunState = RunState.SUCCEEDED, **more: object) -> Run:
    at = f"2026-11-2{number}T01:00:00.000Z"
    tasks = tuple(map(task, PATHS))
    return Run(f"{number}aaaaaaa", "n", "p", state, at, "", tasks=tasks, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("train", "train"),
        ("condition-1.register", "register"),
        ("exit-handler-1.condition-branches-2.condition-3.say", "say"),
        ("condition-2", "condition-2"),
        ("for-loop-1.0.add", "for-loop-1.0.add"),
        ("for-loop-1.0.condition-1.add", "for-loop-1.0.add"),
    ],
)
def test_the_groups_of_the_compiler_are_not_shown(path: str, name: str) -> None:
    assert shown(path) == name
    assert matching([path], name) == path


def test_what_could_be_two_tasks_is_none() -> None:
    assert matching(PATHS, "add") == ""
    assert matching(PATHS, "for-loop-1.1.add") == "for-loop-1.1.add"


def test_a_task_that_is_not_there_is_named_with_a_near_miss() -> None:
    with pytest.raises(UnknownName, match="did you mean register") as raised:
        find_task(run(), "regster", command=("platform-ctl", "run", "logs"))
    assert raised.value.fix == "platform-ctl run logs 0aaaaaaa register"


def test_a_run_that_goes_on_may_still_come_to_it() -> None:
    assert find_task(run(state=RunState.RUNNING), "evaluate", command=()) is None


def test_tasks_that_never_started_come_in_the_order_of_the_flow() -> None:
    tasks = [task("a", None), task("condition-1", None), task("z", None), task("b")]
    ordered = in_flow(tasks, ["b", "z", "condition-1.register", "a"])
    assert [t.path for t in ordered] == ["b", "z", "condition-1", "a"]


class Reader:
    """Only ``list``, and verdicts that only ``outcomes`` tells, as on a cluster."""

    def __init__(self, runs: list[Run]) -> None:
        self._runs = runs

    def list(self, limit: int) -> list[Run]:
        found = [replace(run, verdicts=()) for run in self._runs]
        return found if limit < 0 else found[:limit]

    def outcomes(self, runs: Sequence[Run]) -> Sequence[Run]:
        return [next(kept for kept in self._runs if kept.id == run.id) for run in runs]


def test_a_list_shows_what_is_selected() -> None:
    verdict = (TaskVerdict("gate", "failed"),)
    runs = [run(3, RunState.FAILED), run(2, verdicts=verdict), run(1)]

    def ids(selection: Selection, limit: int = 20) -> str:
        return "".join(r.id[0] for r in newest(Reader(runs), selection, limit))  # type: ignore[arg-type]

    assert ids(Selection()) == "321"
    assert ids(Selection(), 2) == "32"
    assert ids(Selection(states=frozenset({"FAILED"}))) == "3"
    assert ids(Selection(verdict="failed")) == "2"
    assert ids(Selection(created_after=datetime(2026, 11, 22, tzinfo=UTC))) == "32"
    assert ids(Selection(pipeline="p"), 1) == "3"
    assert ids(Selection(pipeline="other")) == ""


def test_what_is_to_come_is_what_no_task_stands_for():
    planned = ["extract", "train", "condition-1.register", "condition-1.ask"]
    begun = [Task("extract", "extract", "", TaskState.SUCCEEDED)]
    assert [(t.path, t.state) for t in to_come(begun, planned)] == [
        (path, TaskState.PENDING) for path in planned[1:]
    ]
    skipped = Task("condition-1", "condition-1", "", TaskState.SKIPPED)
    assert [t.path for t in to_come([*begun, skipped], planned)] == ["train"]
