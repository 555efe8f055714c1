"""Defines the port of trial executors, and follows the metrics files of trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from platform_ctl.tuning.experiment import Trial
from platform_ctl.tuning.metrics import MetricReport, read_json, read_text

METRICS = "metrics.jsonl"
"""Reports of a trial function, one JSON object a line, values as text (Katib's JSON format)."""
LOG = "trial.log"
"""What the trial printed."""


@dataclass(frozen=True)
class TrialOutcome:
    """A trial is over: it ended by itself, or by its deadline, or it broke."""

    name: str
    ok: bool
    reason: str = ""
    message: str = ""


class TrialExecutor(Protocol):
    """Runs trials. Every method returns quickly but for ``wait``."""

    def start(self, trial: Trial, folder: Path, on_report: Callable[[], None]) -> None:
        """Begin. ``on_report`` is for executors that run the trial inside this call."""

    def wait(self, timeout_s: float) -> list[TrialOutcome]:
        """Trials that ended since the last call; returns early as soon as there is one."""

    def stop(self, name: str) -> None:
        """End a trial and all it started; no outcome follows."""

    def readings(self, name: str) -> Sequence[MetricReport]:
        """Metrics so far. Raises UnreadableMetrics."""

    def mentions(self, name: str, metric: str) -> bool:
        """Whether the name of a metric stands anywhere in what the trial reported."""

    def cpu_s(self, name: str) -> float:
        """CPU seconds of the trial so far, user and system, its own children included."""

    def close(self) -> None:
        """Stop whatever still runs."""


class Follower:
    """Reads the whole lines that were added to a metrics file since the last time."""

    def __init__(
        self, path: Path, *, metrics: Sequence[str], json_lines: bool, filters: Sequence[str] = ()
    ) -> None:
        self._path = path
        self._metrics = metrics
        self._json = json_lines
        self._filters = filters
        self._offset = 0
        self._readings: list[MetricReport] = []

    def mentioned(self, metric: str) -> bool:
        """Whether any line holds the name, read as a metric or not."""
        try:
            return metric.encode() in self._path.read_bytes()
        except FileNotFoundError:
            return False

    def read(self, *, to_end: bool = False) -> list[MetricReport]:
        """All readings so far; ``to_end`` takes a last line without newline as well."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                added = file.read()
        except FileNotFoundError:
            return self._readings
        end = len(added) if to_end else added.rfind(b"\n") + 1
        self._offset += end
        lines = added[:end].decode("utf-8", errors="replace").splitlines()
        self._readings += (
            read_json(lines, self._metrics)
            if self._json
            else read_text(lines, self._metrics, self._filters)
        )
        return self._readings


def last_line(log: Path, limit: int = 200) -> str:
    """The last line with anything in it, as a terminal may show it; empty without one."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    text = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)[:limit]
