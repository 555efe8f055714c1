"""The worker's side of a trial that is a Python function. Imports nothing heavy.

The function's reports and its result go into a metrics file, in the very format
that Katib's collector reads, so that both ways of running a trial are collected
by the same code.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from platform_ctl.tuning.local.executor import LOG, METRICS

TrialFunction = Callable[..., Mapping[str, float]]
"""``function(params: dict[str, str], *, report) -> metrics``; ``report(metrics)`` once an epoch."""
STARTED = "started.json"


class Started(msgspec.Struct, frozen=True):
    """Where a trial runs and what its process had used before, for live CPU figures."""

    pid: int
    cpu_s: float


def cpu_now() -> float:
    """CPU seconds of this process and of its children that have ended."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def call(
    function: TrialFunction,
    parameters: dict[str, str],
    folder: Path,
    on_report: Callable[[], None] = lambda: None,
) -> float:
    """Run one trial; returns its CPU seconds. Whatever the function raises passes through."""
    before = cpu_now()
    started = msgspec.json.encode(Started(os.getpid(), before))
    draft = folder / f".{STARTED}"
    draft.write_bytes(started)
    draft.replace(folder / STARTED)  # whole: the search reads it meanwhile
    with (folder / METRICS).open("wb", buffering=0) as metrics, (folder / LOG).open("w") as log:

        def write(values: Mapping[str, float]) -> None:
            record: dict[str, object] = {k: repr(float(v)) for k, v in values.items()}
            metrics.write(msgspec.json.encode({"timestamp": time.time(), **record}) + b"\n")

        def report(values: Mapping[str, float]) -> None:
            write(values)
            on_report()

        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            result = function(parameters, report=report)
        write(result)
    return cpu_now() - before
