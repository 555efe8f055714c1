"""The home's log: one JSON object a line, in a file that Loki's agents can follow.

Several runs write it at once: a line is one ``write`` to a file opened for
appending. A full file is renamed (``.1`` is the newest of the old ones) and the
oldest is dropped, so that the log never takes more than about 60 MB.
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from platform_ctl.folders import make_private
from platform_ctl.home import files
from platform_ctl.runs import log_json
from platform_ctl.runs.log_json import Line
from platform_ctl.runs.record import Run, RunEvent

FILE = "platform.jsonl"
MAX_BYTES = 10 * 2**20
KEEP = 5
"""Old files."""


class JsonLog:
    """Never raises for a disk that refuses: work goes on without its log."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> None:
        self._folder, self._path = folder, folder / FILE
        self._max_bytes, self._keep = max_bytes, keep

    def write(self, line: Line) -> None:
        """Append one object, with the time as its first field."""
        data = msgspec.json.encode({"ts": _now(), **line})
        with contextlib.suppress(OSError):
            try:
                size = files.append_line(self._path, data)
            except FileNotFoundError:
                make_private(self._folder)
                size = files.append_line(self._path, data)
            if size >= self._max_bytes:
                self._rotate()

    def _rotate(self) -> None:
        """By one process; another that is about to do the same leaves it to that one."""
        import filelock

        with (
            contextlib.suppress(filelock.Timeout),
            filelock.FileLock(self._folder / f".{FILE}.lock", timeout=0),
        ):
            if self._path.stat().st_size < self._max_bytes:
                return
            for number in range(self._keep - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(self._old(number), self._old(number + 1))
            os.replace(self._path, self._old(1))

    def _old(self, number: int) -> Path:
        return self._folder / f"{FILE}.{number}"


class RunLog:
    """Hears what runs do, and writes it down."""

    def __init__(self, log: JsonLog) -> None:
        self._log = log

    def observe(self, run: Run, event: RunEvent) -> None:
        line = log_json.line_of(run, event)
        if line is not None:
            self._log.write(line)

    def ended(self, run: Run) -> None:
        """From its final record; one whose end could not be recorded has no last line."""
        if run.state.final:
            self._log.write(log_json.run_end(run))

    def died(self, run_id: str) -> None:
        self._log.write(log_json.run_death(run_id))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
