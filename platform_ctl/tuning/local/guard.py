"""Kills process groups when the process that started them is gone, however it went.

``python -m platform_ctl.tuning.local.guard`` reads ``+PGID`` and ``-PGID``
lines on stdin and ends at its end, which is also what a kill -9 of the other
side looks like. A parent-death signal would reach only the first process of a group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import IO


def watch(lines: IO[str]) -> None:
    """Follow ``lines`` to the end, then kill every group that was added and not removed."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        groups.add(group) if line.startswith("+") else groups.discard(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


class Guard:
    """The other end: a guard process for the groups of this one."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C at the terminal must not end the guard first
            text=True,
        )

    def add(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End the guard; whatever is still listed dies."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()


if __name__ == "__main__":
    watch(sys.stdin)
