"""What starts runs on this machine: the engine for the clock and the arbiter for conditions."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from platform_ctl.schedules import cron, report
from platform_ctl.schedules.local import store as schedule_store
from platform_ctl.schedules.local.engine import ScheduleEngine, StartedSlot
from platform_ctl.schedules.local.store import LocalSchedules, Start
from platform_ctl.schedules.port import RecurringRun
from platform_ctl.schedules.trigger import Trigger, TriggerEvaluator, refuse_when_busy


@dataclass(frozen=True)
class MachineSchedules:
    """Engine and arbiter over one store; ``clock`` gives seconds since the epoch."""

    engine: ScheduleEngine
    arbiter: TriggerEvaluator
    store: LocalSchedules
    clock: Callable[[], int]

    def triggers(self) -> list[Trigger]:
        """Applied schedules with a condition."""
        return [
            Trigger(run.spec, run.id, run.created_at)
            for run in self.store.list()
            if run.enabled and run.spec is not None and run.spec.condition is not None
        ]

    def run(self, *, once: bool, until: float | None) -> Iterator[StartedSlot]:
        """Start what is due until ``until`` (of the monotonic clock), or once."""
        while True:
            yield from self.engine.look()
            for one in self.arbiter.look(self.triggers()):
                yield StartedSlot(one.key, None, one.reason, one.run_id, one.error)
            if once or (until is not None and time.monotonic() >= until):
                return
            time.sleep(self.engine.wait_s())

    def trigger(self, key: str, current: RecurringRun, by: str) -> str:
        """Start a run of a version now; its id. Raises ScheduleBusy at ``max_concurrency``."""
        self.engine.settle()
        refuse_when_busy(key, current, self.engine.active(key))
        submission = f"trigger:{key}:{uuid.uuid4()}"
        start = Start(submission, key, None, current.id, "trigger", by, self.clock())
        return self.engine.start(start).run_id


def heartbeat(database: Path, now: int) -> str:
    """What is wrong with the engine of this home; empty when nothing is. Only reads."""
    with schedule_store.looking(database) as db:
        if db is None:
            return ""
        enabled = sum(1 for run in schedule_store.read_runs(db) if run.enabled)
        return report.heartbeat(schedule_store.read_heartbeat(db), now, schedules=enabled)


def schedule_of_run(database: Path, run_id: str) -> str:
    """Schedule, slot and reason of a run in a few words; empty for a run of no schedule."""
    with schedule_store.looking(database) as db:
        start = schedule_store.read_start(db, run_id) if db is not None else None
    if start is None:
        return ""
    if start.slot is not None:
        return f"{start.key}, slot {cron.utc(start.slot)}"
    return f"{start.key}, {start.reason}: {start.evidence}"
