"""How long a request took here, and how much of that its thread only waited for a CPU.

On a busy machine a process that was asleep waits for its turn, and the one that is
at work does not. Production passes the canary's share on, so the canary is the one
that was asleep: the same model is twice as slow there, by waiting alone.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

SCHEDSTAT = Path("/proc/thread-self/schedstat")
"""Linux: ns on a CPU, ns in its run queue, and turns of the thread that opens it
(Documentation/scheduler/sched-stats.rst)."""


class Moment(NamedTuple):
    at_s: float
    waited_ns: int


class Elapsed(NamedTuple):
    wall_ms: float
    cpu_wait_ms: float
    """At most ``wall_ms``; 0 where the system does not say."""


class ServiceClock:
    """Of the thread that makes it: the one that runs the event loop."""

    def __init__(self, path: Path = SCHEDSTAT) -> None:
        try:
            self._file: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = None

    def now(self) -> Moment:
        return Moment(time.perf_counter(), self._waited_ns())

    def since(self, begun: Moment) -> Elapsed:
        """From ``begun`` until now."""
        wall_ms = (time.perf_counter() - begun.at_s) * 1e3
        waited_ms = (self._waited_ns() - begun.waited_ns) / 1e6
        return Elapsed(wall_ms, min(max(waited_ms, 0.0), wall_ms))

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _waited_ns(self) -> int:
        if self._file is None:
            return 0
        return int(os.pread(self._file, 64, 0).split()[1])
