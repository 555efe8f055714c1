"""What the arbiter asks of a cluster: runs of KFP, and a ConfigMap that remembers.

KFP has no trigger with a condition: the files are looked at by a CronJob
(``schedule run --once``), and runs are submitted through the room of runs, by key.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from platform_ctl.cluster.api import CONFIG_MAP, Cluster
from platform_ctl.errors import UnknownName
from platform_ctl.runs.port import Orchestrator
from platform_ctl.runs.record import RunRequest
from platform_ctl.schedules import conditions, cron
from platform_ctl.schedules.document import Documents, Schedule
from platform_ctl.schedules.kubernetes.recurring_runs import KfpSchedules
from platform_ctl.schedules.port import Pause, RecurringRun
from platform_ctl.schedules.trigger import (
    ConditionReading,
    Trigger,
    TriggerPorts,
    refuse_when_busy,
)

MEMORIES = "platform-schedule-triggers"
"""ConfigMap of what conditions remember: ``KIND.team.name``."""


@dataclass
class ConfigMapTriggerStates:
    """Implements ``schedules.trigger.TriggerStates`` in one ConfigMap."""

    cluster: Cluster

    def trigger_state(self, key: str) -> bytes | None:
        state = self._read().get(_entry("memory", key))
        return state.encode() if state else None

    def put_trigger_state(self, key: str, state: bytes) -> None:
        self._write({_entry("memory", key): state.decode()})

    def suppressed(self, key: str, reason: str, now: int) -> None:
        entry = f"{_entry('suppressed', key)}.{reason}"
        count = int(self._read().get(entry, "0"))
        self._write({entry: str(count + 1)})

    def triggers(
        self, documents: Documents, pauses: Mapping[str, Pause], now: int
    ) -> list[Trigger]:
        """Enabled schedules with a condition, since they were first looked at."""
        memories = self._read()
        triggers = []
        for schedule in documents.schedules:
            spec = schedule.spec
            pause = pauses.get(spec.key)
            if spec.condition is None or not schedule.enabled or (pause and pause.holds(now)):
                continue
            entry = _entry("since", spec.key)
            if entry not in memories:
                self._write({entry: str(now)})
            since = int(memories.get(entry, now))
            triggers.append(Trigger(spec, spec.digest[:12], since))
        return triggers

    def _read(self) -> dict[str, str]:
        config_map = self.cluster.get(CONFIG_MAP, MEMORIES)
        return dict((config_map or {}).get("data") or {})

    def _write(self, data: Mapping[str, str]) -> None:
        self.cluster.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": MEMORIES, "namespace": self.cluster.namespace},
            }
        )
        self.cluster.patch(CONFIG_MAP, MEMORIES, {"data": dict(data)})


@dataclass(frozen=True)
class KfpTriggerPorts:
    """Looks at KFP's records, and starts runs through the room of runs."""

    port: KfpSchedules
    runs: Orchestrator
    readings: conditions.Readings
    now: Callable[[], int]
    documents: Documents = field(default_factory=Documents)

    def ports(self, notify: Callable[[str, str], None]) -> TriggerPorts:
        return TriggerPorts(self.observe, self.submit, self.active, notify)

    def observe(self, trigger: Trigger, seen: Sequence[str]) -> ConditionReading:
        return conditions.observe(self, trigger, seen)

    def pipeline_digests(self, trigger: Trigger) -> tuple[str, str]:
        digest = self._schedule(trigger.spec.key).ir
        return digest, trigger.spec.ir or digest

    def succeeded(self, key: str, since: int) -> Sequence[str]:
        return self.port.succeeded(key, since=since)

    def active(self, trigger: Trigger) -> int:
        """Open runs that this trigger started; they are found by their name."""
        return self.port.open_runs_named(_run_name(trigger.spec.team, trigger.spec.name))

    def submit(self, trigger: Trigger, submission: str, evidence: str) -> str:
        return self.start(self._schedule(trigger.spec.key), submission, evidence)

    def start(self, schedule: Schedule, submission: str, evidence: str) -> str:
        """Submit a run of a schedule by key; its id. What started it stands in its name."""
        spec = schedule.spec
        moment = cron.utc(self.now())
        run = self.runs.submit(
            RunRequest(
                pipeline=schedule.compiled,
                parameters=spec.parameters,
                name=f"{_run_name(spec.team, spec.name)}{moment}: {evidence}"[:250],
                idempotency_key=submission,
                scheduled_at=moment,
            )
        )
        return run.id

    def trigger(
        self, key: str, runs: Sequence[RecurringRun], current: RecurringRun, by: str
    ) -> str:
        """Start a run of the files' compiled pipeline now; its id. ``runs``: the schedule's
        versions. Raises ScheduleBusy at ``max_concurrency``, UnknownName."""
        self.port.list()
        by_clock = self.port.activity([run.id for run in runs]).in_flight
        refuse_when_busy(key, current, len(by_clock) + self.port.open_runs_named(f"{key} "))
        schedule = self.documents.find(key)
        if schedule is None:
            raise UnknownName(
                f"{key} is applied and not in these files",
                where=key,
                fix="platform-ctl schedule plan",
            )
        return self.start(schedule, f"trigger:{key}:{uuid.uuid4()}", by)

    def _schedule(self, key: str) -> Schedule:
        schedule = self.documents.find(key)
        assert schedule is not None  # triggers are made from these documents
        return schedule


def _run_name(team: str, name: str) -> str:
    return f"{team}/{name} "


def _entry(kind: str, key: str) -> str:
    return f"{kind}.{key.replace('/', '.')}"
