"""How far a piece of work has come: a value, and the line of a step's log that carries it.

A step's log is the one channel that every target keeps, while the step runs and
after it. A search writes a line for each trial that ends, a fit one for each
epoch: ``progress {"done":12,"total":20,"unit":"trials",...}``. Readers look for
the word and decode the JSON behind it; no other text of a log means anything.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

WORD = "progress "
"""Begins a line of a log that carries a Progress."""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """``done`` of ``total`` (0: not known) ``unit``s."""

    done: int
    total: int
    unit: str
    started_at: datetime
    at: datetime
    figures: dict[str, float] = {}
    """Metrics of the newest unit, or the best ones so far, by name."""
    newest: str = ""
    """The newest unit in words, where the figures do not describe it."""

    @property
    def left(self) -> timedelta | None:
        """Time left at the pace so far; None before the first unit or without a total."""
        if not self.done or not self.total:
            return None
        return (self.at - self.started_at) / self.done * max(0, self.total - self.done)


def complete_history(units: Sequence[Progress]) -> dict[str, list[float]]:
    """Figure -> its value after each unit, to six digits; empty unless all units are there."""
    known = {progress.done: progress.figures for progress in units}
    if not known or set(known) != set(range(1, max(known) + 1)):
        return {}
    names = set.intersection(*(set(figures) for figures in known.values()))
    ordered = [known[number] for number in sorted(known)]
    return {name: [float(f"{f[name]:.6g}") for f in ordered] for name in sorted(names)}


def line(progress: Progress) -> str:
    """The line of a log, without its newline."""
    return WORD + msgspec.json.encode(progress).decode()


def write(progress: Progress) -> None:
    """On standard output, which is the log of a step."""
    sys.stdout.write(line(progress) + "\n")
    sys.stdout.flush()


def parse(text: str) -> Progress | None:
    """The Progress in one line of a log; None for every other line."""
    _, word, rest = text.rpartition(WORD)
    if not word:
        return None
    try:
        return msgspec.json.decode(rest.strip(), type=Progress)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def latest(log: bytes) -> Progress | None:
    """The newest Progress in a log, or in its last part."""
    for raw in reversed(log.splitlines()):
        if progress := parse(raw.decode(errors="replace")):
            return progress
    return None


def describe(progress: Progress) -> str:
    """One line for people: ``12 of 20 trials, val_mase 0.8812, about 40 s left``."""
    count = f"{progress.done} of {progress.total}" if progress.total else str(progress.done)
    parts = [f"{count} {progress.unit}"]
    parts += [f"{name} {value:.4g}" for name, value in progress.figures.items()]
    if (remaining := progress.left) and remaining.total_seconds() >= 1:
        parts.append(f"about {_duration(remaining.total_seconds())} left")
    return ", ".join(parts)


def summary(progress: Progress) -> str:
    """One line of a log for people: ``12 of 20 trials: lr 0.1, val_mase 0.9; best 0.88``."""
    count = f"{progress.done} of {progress.total}" if progress.total else str(progress.done)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in progress.figures.items())
    parts = "; ".join(part for part in (progress.newest, figures) if part)
    return f"{count} {progress.unit}" + (f": {parts}" if parts else "")


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
