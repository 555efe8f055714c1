"""Names of tasks as people read and type them.

The path of a task holds the groups that KFP's compiler makes for ``dsl.If`` and
``dsl.ExitHandler``: ``condition-1.register``. Nobody wrote those, and task names
are unique in a pipeline, so people see ``register``. Loops stay: the number in
``for-loop-1.0.add`` says which iteration it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from platform_ctl.errors import unknown
from platform_ctl.runs.record import Run, Task, TaskState

_GROUP = re.compile(r"(condition|condition-branches|exit-handler)-\d+")


def shown(path: str) -> str:
    """The path without the compiler's groups; a group itself keeps its own name."""
    *groups, name = path.split(".")
    return ".".join([*(g for g in groups if not _GROUP.fullmatch(g)), name])


def matching(paths: Iterable[str], typed: str) -> str:
    """The path that somebody means: the path itself, the name as shown, or a unique last part.

    "" where nothing, or more than one thing, is meant.
    """
    known = list(paths)
    if typed in known:
        return typed
    for name_of in (shown, lambda path: path.rpartition(".")[2]):
        named = [path for path in known if name_of(path) == typed]
        if len(named) == 1:
            return named[0]
    return ""


def in_flow(tasks: Sequence[Task], planned: Sequence[str]) -> list[Task]:
    """Tasks in the order in which they started, then those that never did, in that of the flow.

    ``planned``: paths in the order of the flow (``planned_leaves``).
    """
    place = {path: number for number, path in enumerate(planned)}

    def key(task: Task) -> tuple[bool, str, int]:
        inside = (n for path, n in place.items() if f"{path}.".startswith(f"{task.path}."))
        return task.started_at is None, task.started_at or "", min(inside, default=len(place))

    return sorted(tasks, key=key)


def to_come(tasks: Sequence[Task], planned: Sequence[str]) -> list[Task]:
    """The steps of the flow that are in none of ``tasks``, as PENDING."""
    known = tuple(f"{task.path}." for task in tasks)
    later = (path for path in planned if not f"{path}.".startswith(known))
    return [Task(path, path.rpartition(".")[2], "", TaskState.PENDING) for path in later]


def find_task(run: Run, typed: str, *, command: Sequence[str]) -> Task | None:
    """The task of the run that somebody means; None where the run may still come to it.

    Raises UnknownName for a run that has ended, with ``command`` and a near miss as the fix.
    """
    path = matching((t.path for t in run.tasks), typed)
    if path or not run.state.final:
        return next((t for t in run.tasks if t.path == path), None)
    words = " ".join([*command, run.id[:8]])
    raise unknown(
        f"the run has no task {typed!r}",
        typed,
        [shown(t.path) for t in run.tasks],
        where=f"run {run.id}",
        fix=f"{words} {{}}",
        otherwise=words,
    )
