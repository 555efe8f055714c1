"""Recurring runs in memory, with a controller that fires them as KFP's does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from platform_ctl.errors import ClusterUnavailable, HomeBusy, PreconditionMissing
from platform_ctl.schedules import due
from platform_ctl.schedules.document import KfpExperiment
from platform_ctl.schedules.port import (
    Activity,
    Lock,
    NewRecurringRun,
    Pause,
    RecurringRun,
    Server,
)

RESYNC_S = 30
"""KFP's controller looks at each record this often."""


KFP = Server("2.17.0", "UTC")


class Killed(BaseException):
    """The process of the apply ends here."""


@dataclass
class Fault:
    """What goes wrong at the ``at``-th call that writes (0 is the first)."""

    at: int
    carried_out: bool
    """Whether the server did it before the caller heard of the failure."""
    error: Callable[[], BaseException] = Killed


def unavailable() -> ClusterUnavailable:
    """A time-out, 409 or 500 as the adapter raises it."""
    return ClusterUnavailable("HTTP 500", where="fake", fix="curl fake")


@dataclass
class Time:
    """A clock that moves with calls and sleeps, and lets the controller look meanwhile."""

    now: int
    on_second: Callable[[int], None] = lambda now: None

    def pass_(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.now += 1
            self.on_second(self.now)


@dataclass
class _Record:
    run: RecurringRun
    last: int | None = None
    deleted: bool = False


@dataclass
class FakeSchedules:
    """Implements ``schedules.port.Schedules``; keeps what an apply may never do."""

    time: Time
    server_: Server = KFP
    fault: Fault | None = None
    call_s: int = 0
    """How long each writing call takes."""
    run_s: int = 0
    """How long the runs that the controller starts take; 0: they have ended at once."""
    ignores_orphan: bool = False
    """Servers before 2.16: deleting a record ends its runs."""
    fires: bool = True
    records: list[_Record] = field(default_factory=list)
    fired: list[tuple[str, int]] = field(default_factory=list)
    """Key and slot of everything that was fired."""
    ended_by_deletion: int = 0
    writes: list[str] = field(default_factory=list)
    most_enabled: int = 0
    """The largest number of versions of one schedule that were enabled at a time."""

    def __post_init__(self) -> None:
        self._pauses: dict[str, Pause] = {}
        self._experiments: dict[str, bool] = {}
        self._locked = ""
        self._runs: list[tuple[str, str, int]] = []  # record, run, end
        self.time.on_second = self._second

    # ---- port -------------------------------------------------------------

    def server(self) -> Server:
        return self.server_

    def list(self) -> Sequence[RecurringRun]:
        return [r.run for r in self.records if not r.deleted]

    def create(self, new: NewRecurringRun) -> RecurringRun:
        made = RecurringRun(
            id=f"r{len(self.records):03}",
            display_name=new.display_name,
            description=new.description,
            enabled=False,
            created_at=self.time.now,
            spec=new.spec,
        )
        with self._call(f"create {new.spec.key}"):
            self.records.append(_Record(made))
        return made

    def enable(self, run_id: str) -> None:
        record = self._find(run_id)
        if record.run.backed is False:
            raise PreconditionMissing("no ScheduledWorkflow", where=run_id, fix="recreate it")
        with self._call(f"enable {run_id}"):
            record.run = replace(record.run, enabled=True)
            same = [r for r in self.list() if r.key == record.run.key and r.enabled]
            self.most_enabled = max(self.most_enabled, len(same))

    def disable(self, run_id: str) -> None:
        record = self._find(run_id)
        with self._call(f"disable {run_id}"):
            record.run = replace(record.run, enabled=False)

    def delete(self, run_id: str) -> None:
        with self._call(f"delete {run_id}"):
            for record in self.records:
                if record.run.id == run_id:
                    record.deleted = True
                    self._end_runs(run_id)

    def activity(self, run_ids: Sequence[str]) -> Activity:
        flying = tuple(
            run for record, run, end in self._runs if record in run_ids and end > self.time.now
        )
        slots = [r.last for r in self.records if r.run.id in run_ids and r.last is not None]
        return Activity(flying, max(slots, default=None))

    def experiments(self) -> Mapping[str, bool]:
        return dict(self._experiments)

    def put_experiment(self, experiment: KfpExperiment) -> None:
        with self._call(f"experiment {experiment.name}"):
            self._experiments[experiment.name] = experiment.archived

    def pauses(self) -> Mapping[str, Pause]:
        return dict(self._pauses)

    def pause(self, key: str, pause: Pause) -> None:
        with self._call(f"pause {key}"):
            self._pauses[key] = pause

    def resume(self, key: str) -> None:
        with self._call(f"resume {key}"):
            self._pauses.pop(key, None)

    @contextmanager
    def lock(self, holder: str) -> Iterator[Lock]:
        if self._locked:
            raise HomeBusy("another apply is at work", where=self._locked, fix="wait")
        self._locked = holder
        try:
            yield _Held()
        finally:
            self._locked = ""

    # ---- what tests do ----------------------------------------------------

    def by_hand(self, run_id: str, **changes: object) -> None:
        """Change a record as a person does in the UI."""
        record = self._find(run_id)
        record.run = replace(record.run, **changes)

    def enabled(self, key: str) -> list[RecurringRun]:
        return [r for r in self.list() if r.key == key and r.enabled]

    # ---- inside -----------------------------------------------------------

    def _find(self, run_id: str) -> _Record:
        return next(r for r in self.records if r.run.id == run_id and not r.deleted)

    @contextmanager
    def _call(self, what: str) -> Iterator[None]:
        self.time.pass_(self.call_s)
        fault = self.fault if self.fault and self.fault.at == len(self.writes) else None
        self.writes.append(what)
        if fault and not fault.carried_out:
            raise fault.error()
        yield
        if fault:
            raise fault.error()

    def _second(self, now: int) -> None:
        if not self.fires or now % RESYNC_S:
            return
        for record in self.records:
            run = record.run
            if record.deleted or not run.enabled or run.spec is None or run.spec.timing is None:
                continue
            while True:
                slot, held = due.due_slot(
                    run.spec.timing,
                    last=record.last,
                    created_at=run.created_at,
                    now=now,
                    active=len(self.activity([run.id]).in_flight),
                    limit=run.spec.max_concurrency,
                )
                if slot is None or held:
                    break
                record.last = slot
                self.fired.append((run.key, slot))
                self._runs.append((run.id, f"{run.id}-{slot}", now + self.run_s))

    def _end_runs(self, run_id: str) -> None:
        if not self.ignores_orphan:
            return
        flying = self.activity([run_id]).in_flight
        self.ended_by_deletion += len(flying)
        self._runs = [r for r in self._runs if r[0] != run_id]


class _Held:
    def check(self) -> None:
        return
