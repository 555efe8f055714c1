"""Who computes which key of the step cache now: one lock file each, ``<home>/cache/computing/KEY``.

The lock is the kernel's (``flock(2)``): it ends with the process that holds it, however that
ends, so that a killed run keeps nobody waiting.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from platform_ctl.folders import make_private

FOLDER = "computing"


class Computations:
    """The keys that one run computes. ``root``: the folder of the cache."""

    def __init__(self, root: Path, run_id: str) -> None:
        self._folder = root / FOLDER
        self._run_id = run_id
        self._held: dict[str, tuple[Path, int]] = {}

    def begin(self, task: str, digest: str) -> str:
        """Take the key for a task of the run; "" when it is the task's now, else the id of the
        run that has it. Where no lock file can be made the task computes without one."""
        if task in self._held:
            return ""
        path = self._folder / digest
        try:
            make_private(self._folder)
            descriptor = _lock(path)
            if descriptor is None:
                return path.read_text(encoding="utf-8").strip() or "another run"
            os.truncate(descriptor, 0)
            os.write(descriptor, self._run_id.encode())
        except OSError:  # no room, or the file was removed a moment ago
            return ""
        self._held[task] = (path, descriptor)
        return ""

    def end(self, task: str) -> None:
        """Give the task's key back, if it has one."""
        if task in self._held:
            _unlock(*self._held.pop(task))


def sweep(root: Path) -> None:
    """Delete the lock files of runs that were killed."""
    for path in (root / FOLDER).glob("*"):
        with contextlib.suppress(OSError):
            descriptor = _lock(path)
            if descriptor is not None:
                _unlock(path, descriptor)


def _lock(path: Path) -> int | None:
    """An open file that holds the lock; None when somebody else does. Raises OSError.

    The file of a lock is removed while it is held: whoever opened it before then has locked
    a file that nobody else will find, and opens the new one.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _unlock(path: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(descriptor)
