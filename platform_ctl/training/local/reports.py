"""The reports of a fit on this machine: lines of a file that a thread follows."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from platform_ctl.training.call import epoch
from platform_ctl.training.port import OnProgress, TrainingJob

POLL_S = 0.2


@dataclass(frozen=True)
class FileReport:
    """Appends the figures of an epoch; can be pickled to a worker on this machine."""

    path: str

    def __call__(self, figures: Mapping[str, float]) -> None:
        numbers = {name: float(value) for name, value in figures.items()}
        with Path(self.path).open("ab", buffering=0) as file:
            file.write(msgspec.json.encode(numbers) + b"\n")


@contextlib.contextmanager
def follow(report: FileReport, job: TrainingJob, on_progress: OnProgress) -> Iterator[None]:
    """While inside, ``on_progress`` gets every report, in order, in a thread of its own."""
    ended, started_at = threading.Event(), datetime.now(UTC)

    def watch() -> None:
        offset, last = 0, False
        while not last:
            last = ended.wait(POLL_S)
            offset, lines = _added(Path(report.path), offset)
            for line in lines:
                on_progress(epoch(job, msgspec.json.decode(line), started_at))

    thread = threading.Thread(target=watch, name="training-reports", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _added(path: Path, offset: int) -> tuple[int, list[bytes]]:
    """The whole lines after ``offset``, and where they end."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            added = file.read()
    except FileNotFoundError:
        return offset, []
    whole = added[: added.rfind(b"\n") + 1]
    return offset + len(whole), whole.splitlines()
