"""Why the tasks of a run were or were not served from the cache."""

from __future__ import annotations

from platform_ctl.errors import UnknownName, unknown
from platform_ctl.runs.cache.port import Decisions
from platform_ctl.runs.cache.values import CacheDecision
from platform_ctl.runs.task_name import shown


def explain_cache(cache: Decisions, run_id: str, task: str = "") -> list[CacheDecision]:
    """Decisions of a run in the order they were made; of one task, if named.

    A task is named by its path (``for-loop-1.0.train``) or by the end of it
    (``train``, which may be several). Raises UnknownName for a run that asked
    nothing of the cache and for a task that is not among its decisions.
    """
    decisions = cache.decisions(run_id)
    if not decisions:
        raise UnknownName(
            f"run {run_id[:8]} has no cache decisions",
            where=f"run {run_id}",
            fix=f"platform-ctl run show {run_id[:8]}",
        )
    if not task:
        return decisions
    matching = [d for d in decisions if d.task == task or d.task.endswith(f".{task}")]
    if not matching:
        raise unknown(
            f"no task {task!r} in run {run_id[:8]}",
            task,
            [shown(d.task) for d in decisions],
            where=f"run {run_id}",
            fix=f"platform-ctl cache explain {run_id[:8]}",
        )
    return matching
