"""Is a process still the one that was recorded? A pid alone is not an identity."""

from __future__ import annotations

import os
from pathlib import Path


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
    return bool(pid and stamp) and started(pid) == stamp


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
