"""The journal of one search: a line for every change of a trial, appended as it happens.

A kill at any instant leaves whole lines and at most one torn one at the end,
which is dropped. The last line about a trial counts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from platform_ctl.errors import DiskFull, UnknownName
from platform_ctl.home import files
from platform_ctl.tuning.experiment import Experiment, ExperimentStatus, Trial, parse

FILE = "journal.jsonl"
STATUS = "status.json"


class Header(msgspec.Struct, frozen=True, tag="search"):
    """First line: which search this is."""

    experiment: dict
    seed: int
    task: str = ""
    """Path of the task that searches, when it is one of a run."""


class TrialLine(msgspec.Struct, frozen=True, tag="trial"):
    trial: Trial


class StatusLine(msgspec.Struct, frozen=True, tag="status"):
    """Beginning, end and restart of the search; ``used_wall_s`` adds up over processes."""

    status: ExperimentStatus
    used_wall_s: float = 0.0


Line = Header | TrialLine | StatusLine
_decode = msgspec.json.Decoder(Line).decode
_encode = msgspec.json.Encoder().encode


@dataclass
class SearchHistory:
    """What a journal tells."""

    experiment: Experiment
    seed: int
    task: str = ""
    status: ExperimentStatus = field(default_factory=ExperimentStatus)
    used_wall_s: float = 0.0
    trials: dict[str, Trial] = field(default_factory=dict)

    @property
    def in_order(self) -> list[Trial]:
        return sorted(self.trials.values(), key=lambda t: t.number)


class Journal:
    """Appends to the journal in ``workdir``; close it, or use it as a context manager."""

    def __init__(self, workdir: Path) -> None:
        self._workdir = workdir
        self._file = (workdir / FILE).open("ab", buffering=0)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def write(self, line: Line) -> None:
        """One line, in one write. Raises DiskFull."""
        try:
            self._file.write(_encode(line) + b"\n")
        except OSError as exc:
            raise DiskFull(
                f"the search cannot be recorded: {exc}", where=str(self._workdir), fix="df -h"
            ) from exc

    def publish(self, status: ExperimentStatus) -> None:
        """Write ``status.json``, Katib's status of a search that has ended."""
        files.replace(self._workdir / STATUS, msgspec.json.format(_encode(status), indent=2))


def read(workdir: Path) -> SearchHistory | None:
    """The story so far, None when no search was begun here."""
    path = workdir / FILE
    if not path.is_file():
        return None
    lines = path.read_bytes().split(b"\n")
    whole = lines[:-1]
    if not whole:
        return None
    header = _decode(whole[0])
    if not isinstance(header, Header):
        raise UnknownName("this is not the journal of a search", where=str(path), fix=f"rm {path}")
    story = SearchHistory(parse(header.experiment, where=str(path)), header.seed, header.task)
    _replay(story, whole[1:])
    return story


def repair(workdir: Path) -> None:
    """Cut a torn last line off, so that the next one starts on a line of its own."""
    path = workdir / FILE
    if not path.is_file():
        return
    content = path.read_bytes()
    keep = content.rfind(b"\n") + 1
    if keep != len(content):
        os.truncate(path, keep)


def _replay(story: SearchHistory, lines: Sequence[bytes]) -> None:
    for raw in lines:
        line = _decode(raw)
        if isinstance(line, TrialLine):
            story.trials[line.trial.name] = line.trial
        elif isinstance(line, StatusLine):
            story.status = line.status
            story.used_wall_s = line.used_wall_s
        else:  # a restart with other counts writes a new header
            story.experiment = parse(line.experiment)
