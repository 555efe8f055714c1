"""Metrics of the lineage events on their way out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from platform_ctl.lineage.delivery import REFUSED_FILE, position_in
from platform_ctl.lineage.outbox import Outbox, Position
from platform_ctl.metrics import catalogue as metrics
from platform_ctl.metrics.catalogue import Sample
from platform_ctl.metrics.home import seconds

_CHUNK_BYTES = 1 << 20


class LineageMetrics:
    """Implements ``metrics.port.Metrics``. Keeps how far it has counted: a long-running process
    reads each line of the outbox once."""

    name = "lineage"

    def __init__(self, folder: Path, *, configured: bool) -> None:
        self._folder, self._configured = folder, configured
        self._all, self._delivered = _Count(), _Count()

    def samples(self, now: float) -> Iterator[Sample]:
        """Raises OSError, msgspec.DecodeError."""
        refused = self._folder / REFUSED_FILE
        yield metrics.LINEAGE_REFUSED.of(value=_lines(refused, 0, None)[0])
        if not self._configured:
            yield metrics.LINEAGE_WAITING.of(value=0)
            return
        files = Outbox(self._folder).files()
        position = position_in(self._folder)
        delivered = self._delivered.up_to(files, position)
        waiting = self._all.up_to(files, None) - delivered
        yield metrics.LINEAGE_WAITING.of(value=max(0, waiting))
        first = next(Outbox(self._folder).lines(since=position), None)
        if first is not None:
            yield metrics.LINEAGE_OLDEST.of(value=seconds(first[1]["eventTime"]))


class _Count:
    """Lines before a position that only moves on; starts again when it does not."""

    def __init__(self) -> None:
        self._at, self._lines = Position(), 0

    def up_to(self, files: list[Path], end: Position | None) -> int:
        if not self._still_there(files, end):
            self._at, self._lines = Position(), 0
        for path in files:
            if path.name < self._at.file:
                continue
            if end is not None and path.name > end.file:
                break
            start = self._at.offset if path.name == self._at.file else 0
            stop = end.offset if end is not None and path.name == end.file else None
            count, offset = _lines(path, start, stop)
            self._lines += count
            self._at = Position(path.name, offset)
        return self._lines

    def _still_there(self, files: list[Path], end: Position | None) -> bool:
        here = next((p for p in files if p.name == self._at.file), None)
        if here is None:
            return not self._at.file
        behind = end is not None and (end.file, end.offset) < (self._at.file, self._at.offset)
        return not behind and here.stat().st_size >= self._at.offset


def _lines(path: Path, start: int, stop: int | None) -> tuple[int, int]:
    """(whole lines from ``start`` to ``stop`` or the end, where the last of them ends)."""
    count, offset = 0, start
    if not path.is_file():
        return 0, start
    with path.open("rb") as file:
        file.seek(start)
        at = start
        while chunk := file.read(_CHUNK_BYTES if stop is None else min(_CHUNK_BYTES, stop - at)):
            ends = chunk.count(b"\n")
            if ends:
                count += ends
                offset = at + chunk.rfind(b"\n") + 1
            at += len(chunk)
    return count, offset
