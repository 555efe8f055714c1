"""What the arbiter asks of this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from platform_ctl.runs.record import RunState
from platform_ctl.schedules import conditions
from platform_ctl.schedules.local.engine import ScheduleEngine
from platform_ctl.schedules.local.store import LocalSchedules, Start
from platform_ctl.schedules.trigger import ConditionReading, Trigger, TriggerPorts


@dataclass(frozen=True)
class LocalTriggerPorts:
    """Looks at records of this home, and starts runs through its engine."""

    store: LocalSchedules
    engine: ScheduleEngine
    newest: Callable[[str], Path]
    readings: conditions.Readings
    now: Callable[[], int]

    def ports(self, notify: Callable[[str, str], None]) -> TriggerPorts:
        return TriggerPorts(
            self.observe, self.submit, lambda t: self.engine.active(t.spec.key), notify
        )

    def observe(self, trigger: Trigger, seen: Sequence[str]) -> ConditionReading:
        return conditions.observe(self, trigger, seen)

    def pipeline_digests(self, trigger: Trigger) -> tuple[str, str]:
        current = self.newest(trigger.spec.pipeline).read_bytes()
        applied = self.store.compiled(trigger.record)
        return hashlib.sha256(current).hexdigest(), hashlib.sha256(applied).hexdigest()

    def submit(self, trigger: Trigger, submission: str, evidence: str) -> str:
        spec = trigger.spec
        reason = spec.condition.kind.value if spec.condition else ""
        earlier = self.store.start(submission)
        if earlier is not None and earlier.run_id:
            return earlier.run_id
        start = Start(submission, spec.key, None, trigger.record, reason, evidence, self.now())
        return self.engine.start(start).run_id

    def succeeded(self, key: str, since: int) -> Sequence[str]:
        starts = reversed(self.store.starts_of(key))
        good = RunState.SUCCEEDED.value
        return [s.run_id for s in starts if s.ended == good and s.claimed_at >= since]
