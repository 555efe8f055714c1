"""Runs whose events are still to be written: one file each, named by the run; it holds the target.

Whoever follows a run writes the file before its first event and removes it after the last one, and
whoever records that a run's process died writes it too. So a kill at any instant leaves the file,
and the next run that ends writes what is missing. Looking costs one listing of a folder that
holds the runs in flight.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from platform_ctl.folders import make_private
from platform_ctl.home import files

_FOLDER = "owed"
"""Older homes have it under this name."""
_LOCK = "repair.lock"
_LOCK_TIMEOUT_S = 60.0


class Backfill:
    """``folder``: the home's lineage folder; ``target``: the one whose runs can be read here."""

    def __init__(self, folder: Path, target: str) -> None:
        self._lineage, self._target = folder, target
        self._folder = folder / _FOLDER

    def add(self, run_id: str) -> None:
        """Raises OSError when the disk refuses."""
        make_private(self._folder)
        (self._folder / run_id).write_text(self._target)

    def holds(self, run_id: str) -> bool:
        return (self._folder / run_id).exists()

    def done(self, run_id: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._folder / run_id).unlink()

    def run_ids(self) -> list[str]:
        """Runs of the target, and those that older homes noted without one."""
        with contextlib.suppress(FileNotFoundError):
            return [i for i in sorted(os.listdir(self._folder)) if self._readable(i)]
        return []

    def _readable(self, run_id: str) -> bool:
        try:
            return (self._folder / run_id).read_text() in ("", self._target)
        except FileNotFoundError:  # another process has just written its events
            return False

    @contextlib.contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """So that two who look at once do not both write. Raises OSError (TimeoutError)."""
        make_private(self._lineage)
        with files.locked(self._lineage / _LOCK, _LOCK_TIMEOUT_S):
            yield
