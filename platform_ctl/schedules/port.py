"""Recurring runs of a target: records that a controller or an engine fires, created disabled."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from platform_ctl.schedules.document import KfpExperiment, Spec

_NAME = re.compile(r"git::([a-z0-9-]{1,50})::([a-z0-9-]{1,50})::([0-9a-f]{12})")
_MARK = "managed-by: platform-ctl"
DESCRIPTION_CHARS = 255
"""KFP's database keeps no longer description of a recurring run, and answers 500."""
_SPEC_DIGITS, _IR_DIGITS, _SOURCE_CHARS = 32, 16, 72
ORPHAN_SINCE = (2, 16)
"""KFP deletes a recurring run without its runs from here on; before it ignores the request."""


@dataclass(frozen=True)
class Mark:
    """The first line of a recurring run's description: what it was made from."""

    source: str
    """Repository of the files; see ``source_id``."""
    spec: str
    """Beginning of the digest of the resolved entry."""
    ir: str
    """Beginning of the compiled pipeline's digest, also where the newest version runs."""
    commit: str
    kfp: str
    """Version of the server that compiled the pipeline for its engine; empty when unknown."""
    start: int | None
    """The start that was set at the switch, in seconds since the epoch."""

    def of(self, spec: Spec) -> bool:
        """Whether the record was made from this entry."""
        return self.spec == spec.digest[:_SPEC_DIGITS]

    def line(self) -> str:
        """As it is written."""
        words = {
            "source": self.source,
            "spec": self.spec,
            "ir": self.ir,
            "git": self.commit or "-",
            "kfp": self.kfp or "-",
            "start": "-" if self.start is None else str(self.start),
        }
        return "; ".join([_MARK, *(f"{key}: {value}" for key, value in words.items())])


def mark(*, source: str, spec: Spec, ir: str, commit: str, kfp: str, start: int | None) -> Mark:
    """The mark of a new record, short enough for a description."""
    return Mark(source, spec.digest[:_SPEC_DIGITS], ir[:_IR_DIGITS], commit, kfp, start)


def source_id(repository: str) -> str:
    """What a mark calls a repository: its address, or the digest of a long one."""
    if len(repository) <= _SOURCE_CHARS and "; " not in repository:
        return repository
    return f"sha256:{hashlib.sha256(repository.encode()).hexdigest()[:_SPEC_DIGITS]}"


def read_mark(description: str) -> Mark | None:
    """The mark of a description; None when it has none or another shape."""
    words = description.partition("\n")[0].split("; ")
    if words[0] != _MARK:
        return None
    pairs = dict(word.partition(": ")[::2] for word in words[1:])
    if not {"source", "spec", "ir", "git", "kfp", "start"} <= pairs.keys():
        return None
    start = pairs["start"]
    if start != "-" and not re.fullmatch(r"-?\d+", start):
        return None
    return Mark(
        source=pairs["source"],
        spec=pairs["spec"],
        ir=pairs["ir"],
        commit=pairs["git"].removeprefix("-"),
        kfp=pairs["kfp"].removeprefix("-"),
        start=None if start == "-" else int(start),
    )


@dataclass(frozen=True)
class Server:
    """What fires the recurring runs."""

    version: str = ""
    """Of KFP, ``2.17.0``; empty when it cannot be read."""
    zone: str | None = None
    """Time zone of cron expressions; None when it cannot be read."""
    local: bool = False

    @property
    def release(self) -> tuple[int, int] | None:
        """Major and minor version."""
        match = re.match(r"v?(\d+)\.(\d+)", self.version)
        return (int(match[1]), int(match[2])) if match else None

    @property
    def deletes_alone(self) -> bool:
        """Whether runs outlive the deletion of their recurring run for certain."""
        return self.local or (self.release is not None and self.release >= ORPHAN_SINCE)


@dataclass(frozen=True)
class RecurringRun:
    """One record of the target, whoever made it."""

    id: str
    display_name: str
    description: str
    enabled: bool
    created_at: int
    """Seconds since the epoch, UTC."""
    spec: Spec | None
    """Its fields as typed values, ``ir`` from the mark; None for a record of another shape."""
    backed: bool | None = True
    """Whether the object that fires it exists; None when that cannot be read."""

    @property
    def key(self) -> str:
        """``team/name`` of its display name; empty for a foreign one."""
        match = _NAME.fullmatch(self.display_name)
        return f"{match[1]}/{match[2]}" if match else ""

    @property
    def mark(self) -> Mark | None:
        return read_mark(self.description)

    def owned_by(self, source: str) -> bool:
        """Whether name, mark and source say that it comes from ``source``'s files."""
        mark = self.mark
        return bool(self.key) and mark is not None and mark.source == source


@dataclass(frozen=True)
class NewRecurringRun:
    """A recurring run to be created, disabled."""

    display_name: str
    spec: Spec
    mark: Mark
    compiled: bytes
    """The compiled pipeline."""

    @property
    def description(self) -> str:
        return self.mark.line()


def display_name(spec: Spec) -> str:
    """``git::<team>::<name>::<12 hex of the digest>``."""
    return f"git::{spec.team}::{spec.name}::{spec.digest[:12]}"


@dataclass(frozen=True)
class Activity:
    """What recurring runs are doing."""

    in_flight: tuple[str, ...] = ()
    """Ids of their runs that have not ended."""
    last_slot: int | None = None
    """The newest slot that one of them fired."""
    last_run: str = ""
    """Id of the newest run, also of one that was triggered."""


@dataclass(frozen=True)
class Pause:
    """Somebody switched a schedule off for a while; an apply keeps it off until then."""

    who: str
    why: str
    at: int
    until: int | None = None
    """Seconds since the epoch; None: until somebody resumes it."""

    def holds(self, now: int) -> bool:
        return self.until is None or now < self.until


class Lock(Protocol):
    """Held by one apply at a time."""

    def check(self) -> None:
        """Raise HomeBusy unless it is still held, and long enough for one more call."""
        ...


class Schedules(Protocol):
    """Methods raise TargetUnavailable when the target does not answer; nothing is retried.

    A call that raised may have been carried out all the same.
    """

    def server(self) -> Server:
        """Version and zone of what fires."""
        ...

    def list(self) -> Sequence[RecurringRun]:
        """All records of the target, foreign ones too."""
        ...

    def create(self, new: NewRecurringRun) -> RecurringRun:
        """A disabled record. Raises ConfigError for what the target does not accept."""
        ...

    def enable(self, run_id: str) -> None:
        """It fires at its next slot. Raises PreconditionMissing when the object that fires it
        is gone."""
        ...

    def disable(self, run_id: str) -> None:
        """It fires nothing any more; runs that it started go on. Again: no error."""
        ...

    def delete(self, run_id: str) -> None:
        """Delete the record and leave its runs, where the server can. An unknown id is no error."""
        ...

    def activity(self, run_ids: Sequence[str]) -> Activity:
        """Runs in flight and the newest slot of these records."""
        ...

    def experiments(self) -> Mapping[str, bool]:
        """Names of experiments, and whether each is archived."""
        ...

    def put_experiment(self, experiment: KfpExperiment) -> None:
        """Create, archive or unarchive it, so that it is as declared."""
        ...

    def pauses(self) -> Mapping[str, Pause]:
        """Those that somebody set, by ``team/name``; also ones whose time is over."""
        ...

    def pause(self, key: str, pause: Pause) -> None:
        """Keep schedule ``key`` off until ``pause`` is over; it replaces an earlier one."""
        ...

    def resume(self, key: str) -> None:
        """Forget the pause. Without one, nothing."""
        ...

    def lock(self, holder: str) -> AbstractContextManager[Lock]:
        """Keeps other applies out. Raises HomeBusy when another holds it."""
        ...


def ours(runs: Iterable[RecurringRun], source: str) -> dict[str, list[RecurringRun]]:
    """Records from ``source``'s files by key, oldest first."""
    by_key: dict[str, list[RecurringRun]] = {}
    for run in sorted(runs, key=lambda r: r.created_at):
        if run.owned_by(source):
            by_key.setdefault(run.key, []).append(run)
    return by_key
