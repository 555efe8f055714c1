"""Runs whose last events are still to be written: one empty file each, named by the run.

Whoever records that a run's process died writes the file before, and a later command that may
write writes the events: a kill between the two loses nothing. Looking costs one
listing of a folder that is mostly empty.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_FOLDER = "owed"
"""Older homes have it under this name."""
_LOCK = "repair.lock"
_LOCK_TIMEOUT_S = 60.0


class Backfill:
    """``folder``: the home's lineage folder."""

    def __init__(self, folder: Path) -> None:
        self._lineage = folder
        self._folder = folder / _FOLDER

    def add(self, run_id: str) -> None:
        """Raises OSError when the disk refuses."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self._folder / run_id).touch()

    def done(self, run_id: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._folder / run_id).unlink()

    def run_ids(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(self._folder))
        return []

    @contextlib.contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """So that two who look at once do not both write. Raises OSError (TimeoutError)."""
        from filelock import FileLock

        self._lineage.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(self._lineage / _LOCK, timeout=_LOCK_TIMEOUT_S):
            yield
