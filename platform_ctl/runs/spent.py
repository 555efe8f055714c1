"""What a step in a pod has spent, as a line of its log: a word, and a JSON object.

The word is not for looks: KFP's API server (2.17.0, ``archive/log.go``) takes a line that is JSON
for an envelope of a log agent, and leaves out what has no field ``log``.

On this machine the engine measures its steps. In a pod only the step itself knows what the kernel
has counted for it, and its log is what outlives the pod. Trials and fits are jobs of their own:
of those the CPUs that they had reserved count, which is what a cluster is paid for.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any

from platform_ctl.runs.budget import Kind

EVENT = "step.spent"
HEAD = f"{EVENT} {{"
"""How such a line begins."""
_KIB = 1024


@dataclass(frozen=True)
class Spent:
    """One kind of work, as in ``LedgerEntry``; several lines of one kind add up."""

    kind: Kind
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int = 0
    trials: int = 0
    note: str = ""


@dataclass(frozen=True)
class StepIdentity:
    """Whose log it is; empty where the pod may not be read."""

    run_id: str = ""
    task: str = ""
    attempt: int = 0


def line(identity: StepIdentity, spent: Spent) -> str:
    """The line, without an end."""
    return f"{EVENT} {json.dumps({**vars(identity), **vars(spent)})}"


def read(log: bytes) -> list[Spent]:
    """Every such line of a log; a line that is cut off or of other fields is passed by."""
    entries = []
    for text in log.decode("utf-8", "replace").splitlines():
        if not text.startswith(HEAD):
            continue
        try:
            fields: dict[str, Any] = json.loads(text.removeprefix(EVENT))
            entries.append(Spent(**{k: v for k, v in fields.items() if k in _FIELDS}))
        except (ValueError, TypeError):
            continue
    return entries


def write(identity: StepIdentity, spent: Spent) -> None:
    """To standard output, which is the log of a step."""
    sys.stdout.write(line(identity, spent) + "\n")
    sys.stdout.flush()


@functools.cache
def write_at_exit(identity: StepIdentity) -> None:
    """Once a process: what it has used, with the children that it waited for, when it ends."""
    atexit.register(lambda: write(identity, _of_this_process()))


def _of_this_process() -> Spent:
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    cpu_s = sum(u.ru_utime + u.ru_stime for u in (own, children))
    peak = max(own.ru_maxrss, children.ru_maxrss) * _KIB
    return Spent("step", round(_age_s(), 3), round(cpu_s, 3), peak)


def _age_s() -> float:
    """Of this process: field 22 of proc(5) ``stat``, in clock ticks since the machine started."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


_FIELDS = frozenset(Spent.__dataclass_fields__)
