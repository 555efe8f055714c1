"""Which process it is (a pid alone is not an identity), and what it and its family have used."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import psutil


class ProcessId(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process that cannot be mistaken for a later one of the same number.

    ``stamp`` is what ``started`` gives. ``started_at``, in seconds since 1970, stands instead of
    it in files that earlier versions wrote.
    """

    pid: int
    stamp: str = ""
    started_at: float = 0.0

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Of a process that has ended: an identity that no process has."""
        return cls(pid, started(pid))

    def process(self) -> psutil.Process | None:
        """The process while it lives; None once it has ended, reaped or not."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            if not self.stamp:
                early = abs(process.create_time() - self.started_at) < 1.0
                return process if early and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None
        return process if alive(self.pid, self.stamp) else None


def suspended(pid: int) -> bool:
    """Whether the process was stopped (SIGSTOP, Ctrl-Z) and handles no signal until it goes on."""
    import psutil

    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def started(pid: int) -> str:
    """An opaque stamp of when the process started; "" when there is none (or it is a zombie)."""
    if os.path.isdir("/proc/self"):
        return _started_linux(pid)
    import psutil

    try:
        process = psutil.Process(pid)
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return "" if zombie else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def alive(pid: int | None, stamp: str | None) -> bool:
    """Whether ``pid`` is the process that had ``stamp``."""
    return pid is not None and bool(pid and stamp) and started(pid) == stamp


def tree_cpu_s(pid: int) -> float:
    """CPU seconds so far of a process, its descendants, and those they have waited for; 0.0 when
    it has ended."""
    import psutil

    total = 0.0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def own_cpu_s() -> float:
    """CPU seconds so far of this process and of the children it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _started_linux(pid: int) -> str:
    """Boot id and start ticks: unique over pid reuse and reboots."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    if fields[0] in (b"Z", b"X"):
        return ""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}:{fields[19].decode()}"
