"""The environment of the processes that the platform starts: built, not inherited.

A library may set variables in the process that imports it (Feast sets
PROMETHEUS_MULTIPROC_DIR, to a folder that it removes at its end). A process
that lives on after such an import must not hand that to its children, so each
entry point remembers what it was started with before it imports anything.
"""

from __future__ import annotations

import os

NEVER = ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR")
"""Prometheus' multi-process mode: no process of ours keeps its metrics in a shared folder."""
OF_A_RUN = ("PLATFORM_RUN_ID", "PLATFORM_RUN_DIR", "PLATFORM_RUN_PID", "PLATFORM_TASK_NAME")
"""Set for the steps of a run; what outlives the run belongs to none."""

_at_start: dict[str, str] | None = None


def remember() -> None:
    """Keep the environment as it is now for the processes that this one will start."""
    global _at_start
    _at_start = dict(os.environ)


def environment(*, of_run: bool = False, **changes: str) -> dict[str, str]:
    """What a child process gets: the environment at start, with ``changes``.

    ``of_run``: the child belongs to the run of this process. A process that has not
    remembered its environment passes on what it has now.
    """
    left_out = NEVER if of_run else (*NEVER, *OF_A_RUN)
    variables = os.environ if _at_start is None else _at_start
    return {k: v for k, v in variables.items() if k not in left_out} | changes
