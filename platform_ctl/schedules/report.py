"""What ``schedule list`` shows, and whom a name means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from platform_ctl.errors import NothingYet, UnknownName, unknown
from platform_ctl.runs.port import RunReader
from platform_ctl.runs.record import RunState
from platform_ctl.runs.select import find
from platform_ctl.schedules import cron, due
from platform_ctl.schedules.document import Spec
from platform_ctl.schedules.port import Pause, RecurringRun, Schedules, ours

SHOWN = 3
HEARTBEAT_LATE_S = 60
"""An engine that has not looked for this long is not there; it looks each 15 s."""


@dataclass(frozen=True)
class LastRun:
    """The newest run of a schedule."""

    id: str
    state: str
    verdicts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One applied schedule."""

    key: str
    state: str
    when: str
    next: tuple[str, ...]
    last_run: str
    verdicts: tuple[str, ...]
    in_flight: int


@dataclass(frozen=True)
class ScheduleReport:
    rows: tuple[Row, ...]
    heartbeat: str
    """What is to be said about the engine; empty when it is well, or somebody else's."""


def rows(
    port: Schedules,
    source: str,
    last_run: Callable[[str], LastRun | None],
    now: int,
) -> tuple[Row, ...]:
    """The schedules of these files as they are applied. Only reads."""
    pauses = port.pauses()
    lines = []
    for key, runs in sorted(ours(port.list(), source).items()):
        current = current_version(runs)
        if current.spec is None:
            continue
        activity = port.activity([run.id for run in runs])
        upcoming: tuple[str, ...] = ()
        if current.enabled and current.spec.timing is not None:
            own = port.activity([current.id]).last_slot
            slots = due.upcoming(
                current.spec.timing, last=own, created_at=current.created_at, now=now
            )
            upcoming = tuple(cron.utc(slot) for slot in islice(slots, SHOWN))
        last = last_run(activity.last_run) if activity.last_run else None
        lines.append(
            Row(
                key,
                _state(current, pauses.get(key), now),
                when(current.spec),
                upcoming,
                f"{last.id[:8]} {last.state}" if last else "",
                last.verdicts if last else (),
                len(activity.in_flight),
            )
        )
    return tuple(lines)


def state_of(runs: RunReader) -> Callable[[str], RunState | None]:
    """Reads the state of a run by its id; None for one that is gone."""

    def read(run_id: str) -> RunState | None:
        run = find(runs, run_id)
        return run.state if run else None

    return read


def last_run_of(runs: RunReader) -> Callable[[str], LastRun | None]:
    """Reads what the list shows of a run by its id; None for one that is gone."""

    def read(run_id: str) -> LastRun | None:
        run = find(runs, run_id)
        if run is None:
            return None
        verdicts = tuple(f"{v.task}: {v.verdict}" for v in run.verdicts)
        return LastRun(run.id, run.state.value, verdicts)

    return read


def current_version(runs: Sequence[RecurringRun]) -> RecurringRun:
    """The enabled version, or the newest one."""
    return next((run for run in reversed(runs) if run.enabled), runs[-1])


def heartbeat(at: int | None, now: int, *, schedules: int) -> str:
    """What is to be said about the engine of this machine; empty when it looked lately."""
    if not schedules or (at is not None and now - at <= HEARTBEAT_LATE_S):
        return ""
    seen = "has never run here" if at is None else f"last looked at {cron.utc(at)}"
    return (
        f"no process fires these schedules: the engine {seen}; start it: platform-ctl schedule run"
    )


def key_of(name: str, known: Mapping[str, object]) -> str:
    """``team/name`` of a name or a key. Raises UnknownName with near misses."""
    if name in known:
        return name
    keys = [key for key in known if key.partition("/")[2] == name]
    if len(keys) == 1:
        return keys[0]
    if keys:
        what = f"more than one team has a schedule {name!r}: {', '.join(sorted(keys))}"
        raise UnknownName(what, where=name, fix="platform-ctl schedule list")
    names = [*known, *(key.partition("/")[2] for key in known)]
    if not known:
        raise NothingYet(
            f"no schedule is applied yet, so there is no {name!r}",
            where="schedules",
            fix="platform-ctl schedule plan",
        )
    raise unknown(
        f"no applied schedule {name!r}",
        name,
        names,
        where="schedules",
        fix="platform-ctl schedule list",
    )


def when(spec: Spec) -> str:
    """The trigger in a few words."""
    condition = spec.condition
    if condition is not None:
        return {
            "freshness": f"data of {condition.recipe} older than {condition.older_than_s} s",
            "drift": f"{condition.metric} of {condition.service} above {condition.above:g}",
            "pipeline_changed": "the pipeline changed",
            "after": f"after {condition.after}",
        }[condition.kind]
    if spec.timing is None:
        return "-"
    return spec.timing.cron or f"each {spec.timing.interval_s} s"


def _state(run: RecurringRun, pause: Pause | None, now: int) -> str:
    if pause is not None and pause.holds(now):
        until = f" until {cron.utc(pause.until)}" if pause.until is not None else ""
        return f"paused by {pause.who}{until}: {pause.why}"
    return "enabled" if run.enabled else "disabled"
