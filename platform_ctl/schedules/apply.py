"""Makes the records what the files say: create disabled, read back, switch, delete old ones.

Each step is one call; killed after any of them, the next apply finds where it was and
finishes. Never are two versions of a schedule enabled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from platform_ctl.errors import PlanOutdated, PlatformError, RecordDiffers, WrongZone
from platform_ctl.schedules import due, plan
from platform_ctl.schedules.document import Documents, Schedule
from platform_ctl.schedules.due import Timing
from platform_ctl.schedules.plan import GUARD_S, PlanState, ScheduleAction, SchedulePlan, Versions
from platform_ctl.schedules.port import (
    Activity,
    Lock,
    NewRecurringRun,
    Pause,
    RecurringRun,
    Schedules,
    display_name,
    ours,
)

_ROUNDS = 4
"""Times that a switch is begun anew because slots passed meanwhile."""
_SAFETY_S = 5
"""A version is too old to be enabled when a slot is this near to its switch."""


class ApplyOutcome(StrEnum):
    DONE = "done"
    WAITING = "waiting"
    """For runs of the old version; the next apply goes on."""
    FAILED = "failed"


@dataclass(frozen=True)
class Applied:
    """What became of one change."""

    key: str
    action: ScheduleAction
    outcome: ApplyOutcome
    detail: str = ""
    error: PlatformError | None = None


@dataclass(frozen=True)
class ScheduleSource:
    """Where the files are from."""

    repository: str
    commit: str


@dataclass(frozen=True)
class ApplyOptions:
    """How an apply decides."""

    prune: bool = False
    now: bool = False
    """Switch without waiting for the old version's runs."""
    fingerprint: str = ""
    """Of the plan that was agreed to; empty: whatever the plan is now."""


@dataclass(frozen=True)
class Clock:
    """Time, and how to wait for it."""

    now: Callable[[], int]
    """Seconds since the epoch."""
    sleep: Callable[[float], None]


def read_state(port: Schedules, documents: Documents, source: ScheduleSource) -> PlanState:
    """Everything a plan is made from. Raises WrongZone, and what the port raises."""
    server = port.server()
    if server.zone not in (None, "UTC"):
        raise WrongZone(
            f"KFP's controller reads cron in {server.zone}; schedules here are in UTC",
            where="cronScheduleTimezone of ConfigMap pipeline-install-config",
            fix="kubectl -n kubeflow patch configmap pipeline-install-config"
            ' --patch \'{"data": {"cronScheduleTimezone": "UTC"}}\'',
        )
    return PlanState(
        documents,
        source.repository,
        source.commit,
        server,
        tuple(port.list()),
        dict(port.pauses()),
        dict(port.experiments()),
    )


def make_plan(port: Schedules, state: PlanState, now: int, *, prune: bool = False) -> SchedulePlan:
    """The plan, with the activity of what changes. Only reads."""
    ids = plan.busy_keys(state, now, prune=prune)
    activity = {key: port.activity(runs) for key, runs in ids.items()}
    return plan.make(state, activity, now=now, prune=prune)


class Apply:
    """One apply over all changes of a plan."""

    def __init__(
        self,
        port: Schedules,
        documents: Documents,
        source: ScheduleSource,
        clock: Clock,
        options: ApplyOptions,
    ) -> None:
        self._port, self._documents, self._source = port, documents, source
        self._clock, self._options = clock, options

    def run(self, holder: str) -> list[Applied]:
        """Apply every change; one that fails does not keep the others back.

        Raises HomeBusy when another apply holds the lock, PlanOutdated when files or
        records have moved since the plan, and what reading the state raises.
        """
        with self._port.lock(holder) as lock:
            self._lock = lock
            self._state = read_state(self._port, self._documents, self._source)
            planned = plan.make(self._state, {}, now=self._clock.now(), prune=self._options.prune)
            wanted = self._options.fingerprint
            if wanted and planned.fingerprint != wanted:
                raise PlanOutdated(
                    "files or records have changed since the plan was made",
                    where="schedule apply --plan",
                    fix="platform-ctl schedule plan -o json > plan.json",
                )
            changes = sorted(
                planned.changes, key=lambda c: c.action is not ScheduleAction.EXPERIMENT
            )
            return [
                self._one(c.key, c.action) for c in changes if c.action is not ScheduleAction.LEFT
            ]

    def _one(self, key: str, action: ScheduleAction) -> Applied:
        try:
            if action is ScheduleAction.EXPERIMENT:
                self._experiment(key)
                return Applied(key, action, ApplyOutcome.DONE)
            runs = ours(self._state.runs, self._source.repository).get(key, [])
            if action is ScheduleAction.DELETE:
                waits = self._delete(runs)
            else:
                schedule = self._documents.find(key)
                assert schedule is not None  # a plan's other actions are of the files
                waits = _Switch(self._tools(), schedule).run(runs)
        except PlatformError as exc:
            return Applied(key, action, ApplyOutcome.FAILED, exc.what, exc)
        return Applied(key, action, ApplyOutcome.WAITING if waits else ApplyOutcome.DONE, waits)

    def _experiment(self, name: str) -> None:
        experiment = next(e for e in self._documents.experiments if e.name == name)
        self._lock.check()
        self._port.put_experiment(experiment)

    def _delete(self, runs: Sequence[RecurringRun]) -> str:
        tools = self._tools()
        for run in runs:
            if run.enabled:
                tools.disable(run)
        waits = ""
        for run in runs:
            waits = tools.delete(run) or waits
        return waits

    def _tools(self) -> _LockedCalls:
        return _LockedCalls(self._port, self._lock, self._state, self._clock, self._options)


@dataclass(frozen=True)
class _LockedCalls:
    """The calls of an apply, each after a look at the lock."""

    port: Schedules
    lock: Lock
    state: PlanState
    clock: Clock
    options: ApplyOptions

    def create(self, schedule: Schedule, start: int | None) -> RecurringRun:
        """A new version, disabled and read back."""
        spec = schedule.spec
        if spec.timing is not None and start is not None:
            spec = replace(spec, timing=replace(spec.timing, start_at=start))
        mark = plan.mark_of(self.state, schedule, start)
        self.lock.check()
        name = display_name(schedule.spec)  # of the file's entry, whatever the start is
        created = self.port.create(NewRecurringRun(name, spec, mark, schedule.compiled_bytes))
        stored = next((r for r in self.reread(schedule.spec.key) if r.id == created.id), None)
        if stored is None or stored.enabled or plan.field_changes(stored.spec, spec):
            says = plan.field_changes(stored.spec, spec) if stored else ["it is not there"]
            raise RecordDiffers(
                f"the new version of {spec.key} is not what was sent: {'; '.join(says)}",
                where=f"recurring run {created.id}",
                fix="platform-ctl schedule plan",
            )
        return stored

    def reread(self, key: str) -> list[RecurringRun]:
        """The records of one schedule now, oldest first."""
        return ours(self.port.list(), self.state.source).get(key, [])

    def enable(self, run: RecurringRun) -> None:
        self.lock.check()
        self.port.enable(run.id)

    def disable(self, run: RecurringRun) -> None:
        """A record whose ScheduledWorkflow is gone cannot be disabled: it is deleted."""
        self.lock.check()
        if run.backed is False:
            self.port.delete(run.id)
        else:
            self.port.disable(run.id)

    def delete(self, run: RecurringRun) -> str:
        """Delete a record; "" or what it waits for, where its runs would die with it."""
        if not self.state.server.deletes_alone and self.port.activity([run.id]).in_flight:
            return "for runs that this KFP would end"
        self.lock.check()
        self.port.delete(run.id)
        return ""


class _Switch:
    """Brings one schedule to its wanted version."""

    def __init__(self, tools: _LockedCalls, schedule: Schedule) -> None:
        self._tools, self._schedule = tools, schedule
        self._key = schedule.spec.key

    def run(self, runs: list[RecurringRun]) -> str:
        """ "" when it is done, or what it waits for."""
        for _ in range(_ROUNDS):
            versions = plan.versions(self._tools.state, self._schedule, runs)
            waits = self._step(versions)
            if waits is not None:
                return waits
            runs = self._tools.reread(self._key)
        return "for a moment without slots"

    def _step(self, versions: Versions) -> str | None:
        """One attempt; None when slots passed meanwhile and it has to begin anew."""
        now = self._tools.clock.now()
        if not plan.wanted_enabled(self._tools.state, self._schedule, now):
            return self._keep_disabled(versions)
        old, wanted = versions.enabled_others, versions.wanted
        if old and not (wanted and wanted.enabled):
            waits = self._wait(old)
            if waits:
                return waits
        if wanted is not None and not wanted.enabled and self._stale(wanted, versions):
            waits = self._tools.delete(wanted)
            if waits:
                return waits
            wanted = None
        if wanted is None:
            wanted = self._tools.create(self._schedule, self._start(versions))
        if not wanted.enabled and self._slot_near(wanted, old):
            self._tools.delete(wanted)
            return None
        for run in old:
            self._tools.disable(run)
        if not wanted.enabled:
            self._tools.enable(wanted)
        return self._clean()

    def _keep_disabled(self, versions: Versions) -> str:
        for run in (*versions.enabled_others, *([versions.wanted] if versions.wanted else [])):
            if run.enabled:
                self._tools.disable(run)
        if versions.wanted is None:
            self._tools.create(self._schedule, self._start(versions))
        return self._clean()

    def _clean(self) -> str:
        """Delete old versions beyond keep_history, newest kept."""
        runs = self._tools.reread(self._key)
        versions = plan.versions(self._tools.state, self._schedule, runs)
        waits = ""
        for run in plan.surplus(self._schedule, versions):
            waits = self._tools.delete(run) or waits
        return waits

    # ---- when to switch ---------------------------------------------------

    def _wait(self, old: Sequence[RecurringRun]) -> str:
        """Sleep until no slot is near; "" or the runs that the switch waits for."""
        activity = self._activity(old)
        if activity.in_flight and not self._tools.options.now:
            return f"for {len(activity.in_flight)} run(s) of the old version"
        clock = self._tools.clock
        for run in old:
            timing = _timing(run)
            if timing is None or timing.shortest_gap_s() < 2 * GUARD_S:
                continue
            for _ in range(_ROUNDS):
                wait_s = _until_quiet(timing, activity.last_slot, run.created_at, clock.now())
                if not wait_s:
                    break
                clock.sleep(wait_s)
        activity = self._activity(old)
        if activity.in_flight and not self._tools.options.now:
            return f"for {len(activity.in_flight)} run(s) of the old version"
        return ""

    def _start(self, versions: Versions) -> int | None:
        """Start of the new version: the switch, so that no slot fires in both and none is lost."""
        timing = self._schedule.spec.timing
        if timing is None:
            return None
        if not versions.others:
            return timing.start_at
        now = self._tools.clock.now()
        old = versions.enabled_others or list(versions.others[:1])
        activity = self._activity(versions.others)
        start = self._switch_moment(timing, old, activity, now)
        return start if timing.start_at is None else max(start, timing.start_at)

    def _switch_moment(
        self, timing: Timing, old: Sequence[RecurringRun], activity: Activity, now: int
    ) -> int:
        firing = _timing(old[0])
        if firing is None:
            return now
        created = old[0].created_at
        last = activity.last_slot
        if firing.interval_s and firing.interval_s == timing.interval_s:
            # In phase: the first slot is one interval after the start.
            begin = last if last is not None else firing.start_at or created
            return begin + max(0, (now - begin) // firing.interval_s) * firing.interval_s
        if old[0].enabled and firing.shortest_gap_s() < 2 * GUARD_S:
            return now + GUARD_S
        pending = due.next_slot(firing, last=last, created_at=created, now=now)
        if old[0].enabled and pending is not None and pending <= now:
            return pending - 1  # held by max_concurrency, and not fired: the new version does
        return now

    def _stale(self, wanted: RecurringRun, versions: Versions) -> bool:
        """Whether enabling a version would fire slots that another one has fired.

        It is one that a killed apply left, or one that the files have come back to.
        """
        timing = _timing(wanted)
        if timing is None or not versions.others:
            return False
        last = self._activity([wanted]).last_slot
        begin = max(timing.start_at or wanted.created_at, last or 0)
        fired = self._activity(versions.others).last_slot
        if fired is not None and fired > begin:
            return True
        now = self._tools.clock.now()
        slot = due.next_slot(timing, last=last, created_at=wanted.created_at, now=now)
        return bool(versions.enabled_others) and slot is not None and slot <= now

    def _slot_near(self, wanted: RecurringRun, old: Sequence[RecurringRun]) -> bool:
        """Whether the old version may have fired since the start that the new one has."""
        timing, now = _timing(wanted), self._tools.clock.now()
        if timing is None or timing.start_at is None or not old:
            return False
        last = self._activity(old).last_slot
        for run in old:
            firing = _timing(run)
            if firing is None:
                continue
            if firing.shortest_gap_s() < 2 * GUARD_S:
                return now >= timing.start_at
            created = run.created_at
            passed, until_next = due.nearest(firing, last=last, created_at=created, now=now)
            held = due.next_slot(firing, last=last, created_at=created, now=now)
            carried = held is not None and timing.start_at == held - 1
            if until_next <= _SAFETY_S or (now - passed > timing.start_at and not carried):
                return True
        return False

    def _activity(self, runs: Sequence[RecurringRun]) -> Activity:
        return self._tools.port.activity([run.id for run in runs])


def _timing(run: RecurringRun) -> Timing | None:
    return run.spec.timing if run.spec else None


def _until_quiet(timing: Timing, last: int | None, created_at: int, now: int) -> int:
    """Seconds until no slot is nearer than the guard; 0 when none is."""
    passed, until_next = due.nearest(timing, last=last, created_at=created_at, now=now)
    if passed < GUARD_S and not (timing.end_at is not None and timing.end_at < now - passed):
        return GUARD_S - passed
    if until_next < GUARD_S and not (
        timing.end_at is not None and timing.end_at < now + until_next
    ):
        return until_next + GUARD_S
    return 0


def pause(port: Schedules, source: str, key: str, pause: Pause, holder: str) -> list[RecurringRun]:
    """Keep the pause and disable what is enabled; the records of the schedule."""
    with port.lock(holder) as lock:
        runs = ours(port.list(), source).get(key, [])
        if runs:
            port.pause(key, pause)
        for run in runs:
            if run.enabled:
                lock.check()
                port.disable(run.id)
        return runs


def resume(port: Schedules, source: str, key: str, holder: str) -> None:
    """Forget the pause and enable the newest version; no other one is enabled meanwhile."""
    with port.lock(holder) as lock:
        runs = ours(port.list(), source).get(key, [])
        port.resume(key)
        if runs and not any(run.enabled for run in runs):
            lock.check()
            port.enable(runs[-1].id)
