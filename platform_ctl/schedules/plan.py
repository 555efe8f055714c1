"""Computes what an apply would change, from documents, records and the time, without effects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any

from platform_ctl.schedules import cron, due
from platform_ctl.schedules.document import Documents, KfpExperiment, Schedule, Spec, canonical
from platform_ctl.schedules.port import Activity, Mark, Pause, RecurringRun, Server, mark, ours

GUARD_S = 60
"""No switch this close to a slot."""
SHOWN = 5
"""Fire times in a plan, before and after."""
AT_ONCE_LIMIT = 100


class ScheduleAction(StrEnum):
    """What is to be done with a schedule; ``NONE`` is in sync."""

    NONE = "none"
    CREATE = "create"
    REPLACE = "replace"
    SWITCH = "switch"
    """Finish a switch: the new version is there, and disabled, or an old one is enabled."""
    ENABLE = "enable"
    DISABLE = "disable"
    RECREATE = "recreate"
    """The record has lost what fires it, or was changed by hand."""
    CLEAN = "clean"
    """Only old versions beyond keep_history."""
    DELETE = "delete"
    LEFT = "left"
    """Not in the files any more; ``--prune`` deletes it."""
    EXPERIMENT = "experiment"


@dataclass(frozen=True)
class ScheduleChange:
    """One schedule, or one experiment, and what an apply does."""

    key: str
    action: ScheduleAction
    why: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    """The next fire times as it is, UTC."""
    after: tuple[str, ...] = ()
    """The next fire times as it will be."""
    in_flight: tuple[str, ...] = ()
    at_once: int = 0
    """Slots that enabling fires at once."""
    lost: int = 0
    """Slots that a switch loses, because they are closer than two minutes."""
    paused: str = ""


@dataclass(frozen=True)
class SchedulePlan:
    changes: tuple[ScheduleChange, ...]
    unmanaged: tuple[str, ...]
    """Records of others; never touched."""
    notes: tuple[str, ...]
    fingerprint: str
    """Of the files and of the records that it was made from."""

    @property
    def in_sync(self) -> bool:
        return not self.changes


@dataclass(frozen=True)
class PlanState:
    """What a plan is made from, read once."""

    documents: Documents
    source: str
    commit: str
    server: Server
    runs: Sequence[RecurringRun]
    pauses: Mapping[str, Pause]
    experiments: Mapping[str, bool]

    @property
    def fingerprint(self) -> str:
        """Changes with every field that decides what an apply does."""
        documents = [
            (s.spec.digest, s.enabled, s.keep_history, s.spec.key) for s in self.documents.schedules
        ]
        runs = [(r.id, r.enabled, r.display_name, r.description, r.backed) for r in self.runs]
        parts = [
            sorted(documents),
            sorted(a.key for a in self.documents.absent),
            sorted(runs),
            sorted((key, pause.until) for key, pause in self.pauses.items()),
            sorted((e.name, e.archived) for e in self.documents.experiments),
            sorted(self.documents.teams),
            self.server.version,
        ]
        return hashlib.sha256(canonical([self.source, repr(parts)])).hexdigest()


@dataclass(frozen=True)
class Versions:
    """The records of one schedule: the one that is wanted, if it exists, and the others."""

    wanted: RecurringRun | None
    others: tuple[RecurringRun, ...]
    """Newest first."""
    why: tuple[str, ...]
    """Why none of them is the wanted one."""
    broken: bool = False
    """The newest has the right digest, and cannot be used."""

    @property
    def enabled_others(self) -> list[RecurringRun]:
        return [run for run in self.others if run.enabled]


def mark_of(state: PlanState, schedule: Schedule, start: int | None) -> Mark:
    """The mark of a new version."""
    return mark(
        source=state.source,
        spec=schedule.spec,
        ir=schedule.ir,
        commit=state.commit,
        kfp=state.server.version,
        start=start,
    )


def versions(state: PlanState, schedule: Schedule, runs: Sequence[RecurringRun]) -> Versions:
    """Which of the records of a schedule is the wanted version.

    Of two with the same digest (two applies at once) the enabled one, then the older one.
    """
    why: list[str] = []
    good = []
    for run in runs:
        reasons = _not_wanted(state, schedule.spec, run)
        if not reasons:
            good.append(run)
        elif run is runs[-1]:
            why += reasons
    wanted = min(good, key=lambda r: (not r.enabled, r.created_at, r.id)) if good else None
    others = tuple(run for run in reversed(runs) if run is not wanted)
    newest = runs[-1].mark if runs else None
    broken = wanted is None and newest is not None and newest.of(schedule.spec)
    return Versions(wanted, others, tuple(why), broken)


def wanted_enabled(state: PlanState, schedule: Schedule, now: int) -> bool:
    """Whether the schedule is to fire: not switched off in its file, and not paused."""
    pause = state.pauses.get(schedule.spec.key)
    return schedule.enabled and not (pause and pause.holds(now))


def doomed(documents: Documents, key: str, *, prune: bool) -> str:
    """Why a schedule that has records is to be deleted; empty when it is not."""
    if any(absent.key == key for absent in documents.absent):
        return "state: absent"
    team = key.partition("/")[0]
    if prune and documents.find(key) is None and team in documents.teams:
        return "it left the files"
    return ""


def surplus(schedule: Schedule, by_version: Versions) -> list[RecurringRun]:
    """Disabled old versions beyond ``keep_history``; none while the wanted one is missing."""
    if by_version.wanted is None:
        return []
    old = [run for run in by_version.others if not run.enabled]
    return old[schedule.keep_history :]


def make(
    state: PlanState, activity: Mapping[str, Activity], *, now: int, prune: bool = False
) -> SchedulePlan:
    """The plan. ``activity`` is by key, of schedules whose records ``busy_keys`` names."""
    runs = ours(state.runs, state.source)
    changes = [_experiment(state, e) for e in state.documents.experiments]
    for schedule in state.documents.schedules:
        key = schedule.spec.key
        if schedule.spec.condition is not None and not state.server.local:
            continue  # KFP has no such trigger: the arbiter looks at the files
        changes.append(
            _schedule(state, schedule, runs.get(key, []), activity.get(key, Activity()), now)
        )
    known = {s.spec.key for s in state.documents.schedules}
    for key in sorted(runs.keys() - known):
        changes.append(_leaving(state, key, runs[key], activity.get(key, Activity()), now, prune))
    unmanaged = tuple(sorted(r.display_name for r in state.runs if not r.owned_by(state.source)))
    return SchedulePlan(
        tuple(c for c in changes if c is not None and c.action is not ScheduleAction.NONE),
        unmanaged,
        tuple(_notes(state, runs)),
        state.fingerprint,
    )


def busy_keys(state: PlanState, now: int, *, prune: bool = False) -> dict[str, list[str]]:
    """Ids of the records of each schedule that changes, whose activity a plan shows."""
    draft = make(state, {}, now=now, prune=prune)
    runs = ours(state.runs, state.source)
    return {c.key: [r.id for r in runs[c.key]] for c in draft.changes if c.key in runs}


def fire_times(
    timing: due.Timing | None, *, last: int | None, created_at: int, now: int
) -> tuple[str, ...]:
    """The next slots as text; a condition has none."""
    if timing is None:
        return ()
    slots = due.upcoming(timing, last=last, created_at=created_at, now=now)
    return tuple(cron.utc(slot) for slot in islice(slots, SHOWN))


def lost_slots(timing: due.Timing | None, now: int) -> int:
    """Slots that fall into the guard of a switch when they are closer than two guards."""
    if timing is None or timing.shortest_gap_s() >= 2 * GUARD_S:
        return 0
    return len(due.between(timing, after=now, until=now + GUARD_S, limit=GUARD_S))


def field_changes(old: Spec | None, new: Spec) -> list[str]:
    """``field: old -> new`` for each that differs."""
    if old is None:
        return ["the record has another shape"]
    before, after = _flat(old), _flat(new)
    names = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    return [f"{name}: {_short(before.get(name))} -> {_short(after.get(name))}" for name in names]


# ---- one schedule -----------------------------------------------------------


def _schedule(
    state: PlanState, schedule: Schedule, runs: list[RecurringRun], activity: Activity, now: int
) -> ScheduleChange:
    spec = schedule.spec
    by_version = versions(state, schedule, runs)
    enable = wanted_enabled(state, schedule, now)
    action, why = _action(schedule, by_version, runs, enable)
    pause = state.pauses.get(spec.key)
    change = ScheduleChange(
        spec.key,
        action,
        why,
        in_flight=activity.in_flight,
        paused=f"{pause.who}: {pause.why}" if pause and pause.holds(now) else "",
    )
    firing = next((r for r in reversed(runs) if r.enabled and r.spec), None)
    if firing is not None and firing.spec is not None:
        before = fire_times(
            firing.spec.timing, last=activity.last_slot, created_at=firing.created_at, now=now
        )
        change = replace(change, before=before)
    if not enable:
        return change
    return _with_future(change, spec, by_version, firing, activity, now)


def _with_future(
    change: ScheduleChange,
    spec: Spec,
    by_version: Versions,
    firing: RecurringRun | None,
    activity: Activity,
    now: int,
) -> ScheduleChange:
    """Fire times afterwards, and what enabling does at once."""
    timing, created_at, last = spec.timing, now, None
    if by_version.wanted is not None and by_version.wanted.spec is not None:
        timing, created_at = by_version.wanted.spec.timing, by_version.wanted.created_at
        last = activity.last_slot
    elif firing is not None and timing is not None and (timing.start_at or 0) < now:
        timing = replace(timing, start_at=now)
    if timing is None:
        return change
    after = fire_times(timing, last=last, created_at=created_at, now=now)
    change = replace(change, after=after)
    if by_version.wanted is None or not by_version.wanted.enabled:
        count = due.at_once(timing, last=last, created_at=created_at, now=now, limit=AT_ONCE_LIMIT)
        change = replace(change, at_once=count)
    if firing is not None and firing is not by_version.wanted and firing.spec is not None:
        change = replace(change, lost=lost_slots(firing.spec.timing, now))
    return change


def _action(
    schedule: Schedule, by_version: Versions, runs: list[RecurringRun], enable: bool
) -> tuple[ScheduleAction, tuple[str, ...]]:
    if not runs:
        return ScheduleAction.CREATE, ()
    if by_version.wanted is None:
        return (
            ScheduleAction.RECREATE if by_version.broken else ScheduleAction.REPLACE
        ), by_version.why
    old = by_version.enabled_others
    if enable and old:
        return ScheduleAction.SWITCH, (f"{len(old)} old version(s) enabled",)
    if enable and not by_version.wanted.enabled:
        return ScheduleAction.ENABLE, ("it is disabled",)
    if not enable and (old or by_version.wanted.enabled):
        return ScheduleAction.DISABLE, ("it is enabled",)
    extra = surplus(schedule, by_version)
    if extra:
        return ScheduleAction.CLEAN, (f"{len(extra)} old version(s) beyond keep_history",)
    return ScheduleAction.NONE, ()


def _not_wanted(state: PlanState, spec: Spec, run: RecurringRun) -> list[str]:
    """Why a record is not what the file says; empty when it is."""
    origin = run.mark
    if origin is None or not origin.of(spec):
        return field_changes(_with_document_start(run, spec), spec)
    if run.backed is False:
        return ["the record has no ScheduledWorkflow: the cluster was reinstalled"]
    pinned, now = Server(origin.kfp).release, state.server.release
    if pinned is not None and now is not None and pinned < now:
        return [f"pinned under KFP {origin.kfp}, the server is {state.server.version}"]
    expected = _started(spec, origin.start)
    changed = field_changes(run.spec, expected)
    return [f"changed outside the platform: {change}" for change in changed]


def _with_document_start(run: RecurringRun, spec: Spec) -> Spec | None:
    """The record's fields without the start that a switch has set."""
    origin, stored = run.mark, run.spec
    if stored is None or stored.timing is None or spec.timing is None or origin is None:
        return stored
    if stored.timing.start_at == origin.start and origin.start is not None:
        return replace(stored, timing=replace(stored.timing, start_at=spec.timing.start_at))
    return stored


def _started(spec: Spec, start: int | None) -> Spec:
    if spec.timing is None or start is None:
        return spec
    return replace(spec, timing=replace(spec.timing, start_at=start))


def _leaving(
    state: PlanState, key: str, runs: list[RecurringRun], activity: Activity, now: int, prune: bool
) -> ScheduleChange | None:
    why = doomed(state.documents, key, prune=prune)
    if why:
        return ScheduleChange(key, ScheduleAction.DELETE, (why,), in_flight=activity.in_flight)
    if key.partition("/")[0] not in state.documents.teams:
        return None
    return ScheduleChange(key, ScheduleAction.LEFT, ("it left the files; --prune deletes it",))


def _experiment(state: PlanState, experiment: KfpExperiment) -> ScheduleChange | None:
    there = state.experiments.get(experiment.name)
    if there is None:
        what = "create" if not experiment.archived else ""
    else:
        what = {(False, True): "archive", (True, False): "unarchive"}.get(
            (there, experiment.archived), ""
        )
    return ScheduleChange(experiment.name, ScheduleAction.EXPERIMENT, (what,)) if what else None


def _notes(state: PlanState, runs: Mapping[str, list[RecurringRun]]) -> Iterable[str]:
    server = state.server
    if not server.local and server.zone is None:
        yield "the controller's time zone cannot be read from here; it must be UTC"
    if not server.deletes_alone:
        which = server.version or "unknown"
        yield f"KFP {which} may end runs with their schedule: old versions stay until idle"
    if not server.local:
        for schedule in state.documents.schedules:
            if schedule.spec.condition is not None:
                yield f"{schedule.spec.key} has a condition: `schedule run --once` looks at it"
    missing = {key.partition("/")[0] for key in runs} - state.documents.teams
    for team in sorted(missing):
        yield f"team {team} has records and no recurring_runs.yaml: nothing of it is pruned"


def _flat(spec: Spec) -> dict[str, Any]:
    import json

    tree = json.loads(canonical(spec))
    timing = tree.pop("timing") or {}
    parameters = tree.pop("parameters")
    return {
        **tree,
        **timing,
        **{f"parameters.{name}": value for name, value in parameters.items()},
    }


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value).decode()
    return text if len(text) <= 40 else f"{text[:37]}..."
