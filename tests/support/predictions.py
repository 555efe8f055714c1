"""Hold what ``pipeline impact`` said against the run that followed."""

from __future__ import annotations

from platform_ctl.explain.impact import Expected, Impact, StepForecast
from platform_ctl.runs.record import Run, Task, TaskState

HAPPENS = {
    StepForecast.RUN: TaskState.SUCCEEDED,
    StepForecast.HIT: TaskState.CACHED,
    StepForecast.SKIP: TaskState.SKIPPED,
}


def assert_came_true(expected: Impact, before: Run | None, after: Run) -> None:
    """Every step as predicted; one that depended, as the outputs it depended on came out.

    ``before``: the run that the forecast was made against.
    """
    told = {s.task: s for s in expected.steps}
    assert len(told) == len(expected.steps), expected.steps
    happened = {t.path: t for t in after.tasks}
    for path, task in happened.items():
        inside = any(p.startswith(f"{path}.") for p in told)
        assert path in told or (task.state is TaskState.SKIPPED and inside), path
    for step in expected.steps:
        if step.fate is StepForecast.DEPENDS:
            _assert_depended(step, told, before, after)
        else:
            assert step.task in happened, step
            assert happened[step.task].state is HAPPENS[step.fate], (step, happened[step.task])


def _assert_depended(
    step: Expected, told: dict[str, Expected], before: Run | None, after: Run
) -> None:
    """On outputs of steps that were to run, all named; and the same outputs, the same fate."""
    assert step.depends_on, step
    for output in step.depends_on:
        assert output in step.why, step
        assert told[output.rpartition(".")[0]].fate in (StepForecast.RUN, StepForecast.DEPENDS), (
            step
        )
    then = [_output(before, o) for o in step.depends_on] if before else [_NONE]
    now = [_output(after, o) for o in step.depends_on]
    if before is None or _NONE in (*then, *now):
        return  # made for the first time, or not made: anything may have come of it
    state = _state(after, step.task)
    if step.why.startswith("a hit if nothing changes"):
        wanted = TaskState.CACHED if then == now else TaskState.SUCCEEDED
        assert state is wanted, (step, state)
    elif then == now and "reached or not" in step.why:
        good = (TaskState.SUCCEEDED, TaskState.CACHED)
        assert (state in good) is (_state(before, step.task) in good), (step, state)


def _state(run: Run, path: str) -> TaskState | None:
    """None for a task inside a group that was skipped."""
    return next((t.state for t in run.tasks if t.path == path), None)


_NONE = object()


def _output(run: Run, output: str) -> object:
    path, _, name = output.rpartition(".")
    task: Task | None = next((t for t in run.tasks if t.path == path), None)
    if task is None or not task.state.good:
        return _NONE
    if name in task.outputs.parameters:
        return task.outputs.parameters[name]
    return [(a.digest, a.metadata) for a in task.outputs.artifacts.get(name, ())]
