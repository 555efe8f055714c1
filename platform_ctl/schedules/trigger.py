"""Conditions that start a run: one arbiter for both targets.

A condition is looked at again and again; a run starts when it becomes true. While it stays
true the cool-down has to pass before the next one, and after ``stop_after`` runs that left
it true no more are started until it was false once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

import msgspec

from platform_ctl.errors import PlatformError, ScheduleBusy
from platform_ctl.schedules.document import ConditionKind, Spec
from platform_ctl.schedules.port import RecurringRun

_SEEN = 200
"""Upstream runs that are remembered."""


class Why(StrEnum):
    """Why a condition that is true starts no run now."""

    OPEN_RUN = "open_run"
    COOL_DOWN = "cool_down"
    QUIET_HOURS = "quiet_hours"
    STOPPED = "stopped"


@dataclass(frozen=True)
class ConditionReading:
    """What was seen of a condition."""

    holds: bool
    evidence: str
    """For people: the value and the limit."""
    subject: str = ""
    """after: the upstream run; pipeline_changed: the digest."""


@dataclass(frozen=True)
class TriggerState:
    """What one trigger remembers between two looks; survives a kill."""

    held_before: bool = False
    fired_at: int | None = None
    without_help: int = 0
    """Runs that were started since the condition became true."""
    stopped: bool = False
    seen: tuple[str, ...] = ()
    """Subjects that had their run."""


@dataclass(frozen=True)
class TriggerDecision:
    """Whether to start a run, and what to remember."""

    memory: TriggerState
    fire: bool = False
    suppressed: Why | None = None
    notice: str = ""


@dataclass(frozen=True)
class Trigger:
    """A schedule with a condition, as it is applied."""

    spec: Spec
    record: str
    """Id of its record."""
    since: int
    """When the record was created: what happened before starts nothing."""


@dataclass(frozen=True)
class Triggered:
    """A run that a condition started."""

    key: str
    reason: str
    evidence: str
    run_id: str = ""
    error: str = ""


class TriggerStates(Protocol):
    """Where memories are kept."""

    def trigger_state(self, key: str) -> bytes | None:
        """What was kept for trigger ``key``; None before the first look."""
        ...

    def put_trigger_state(self, key: str, state: bytes) -> None:
        """Replace what is kept for trigger ``key``."""
        ...

    def suppressed(self, key: str, reason: str, now: int) -> None:
        """Count a look at which a true condition started nothing."""
        ...


@dataclass(frozen=True)
class TriggerPorts:
    """What the arbiter asks of others."""

    observe: Callable[[Trigger, Sequence[str]], ConditionReading]
    """Looks at a condition; the second argument are subjects that had their run."""
    submit: Callable[[Trigger, str, str], str]
    """(trigger, submission key, evidence) -> run id. Idempotent by the key."""
    active: Callable[[Trigger], int]
    """Runs of the schedule that have not ended."""
    notify: Callable[[str, str], None] = field(default=lambda key, text: None)


def decide(
    spec: Spec, memory: TriggerState, seen: ConditionReading, now: int, active: int
) -> TriggerDecision:
    """What to do about one look. Pure."""
    assert spec.condition is not None
    if not seen.holds:
        return TriggerDecision(replace(memory, held_before=False, without_help=0, stopped=False))
    memory = replace(memory, held_before=True)
    once = spec.condition.kind in (ConditionKind.AFTER, ConditionKind.PIPELINE_CHANGED)
    if active:
        return TriggerDecision(memory, suppressed=Why.OPEN_RUN)
    if memory.stopped:
        return TriggerDecision(memory, suppressed=Why.STOPPED)
    if any(hours.hold(now) for hours in spec.quiet_hours):
        return TriggerDecision(memory, suppressed=Why.QUIET_HOURS)
    if memory.fired_at is not None and 0 <= now - memory.fired_at < spec.cool_down_s:
        return TriggerDecision(memory, suppressed=Why.COOL_DOWN)
    if not once and memory.without_help >= spec.stop_after:
        notice = (
            f"{spec.key}: {memory.without_help} runs left the condition true"
            f" ({seen.evidence}); no more are started until it is false"
        )
        return TriggerDecision(replace(memory, stopped=True), suppressed=Why.STOPPED, notice=notice)
    subjects = (*memory.seen, seen.subject)[-_SEEN:] if once else ()
    fired = replace(memory, fired_at=now, without_help=memory.without_help + 1, seen=subjects)
    return TriggerDecision(fired, fire=True)


class TriggerEvaluator:
    """Looks at all triggers once; a failure of one keeps none of the others back."""

    def __init__(
        self, memories: TriggerStates, ports: TriggerPorts, clock: Callable[[], int]
    ) -> None:
        self._memories, self._ports, self._clock = memories, ports, clock

    def look(self, triggers: Sequence[Trigger]) -> list[Triggered]:
        """Start what is due; what was started, and what could not be."""
        triggered = []
        for trigger in triggers:
            try:
                started = self._one(trigger)
            except PlatformError as exc:
                reason = trigger.spec.condition.kind if trigger.spec.condition else ""
                started = Triggered(trigger.spec.key, reason, "", error=f"{exc.what} ({exc.id})")
            if started is not None:
                triggered.append(started)
        return triggered

    def _one(self, trigger: Trigger) -> Triggered | None:
        spec, now = trigger.spec, self._clock()
        assert spec.condition is not None
        memory = self._recall(spec.key)
        seen = self._ports.observe(trigger, memory.seen)
        decision = decide(spec, memory, seen, now, self._ports.active(trigger))
        if decision.suppressed:
            self._memories.suppressed(spec.key, decision.suppressed, now)
        if not decision.fire:
            self._keep(spec.key, memory, decision.memory)
            if decision.notice:
                self._ports.notify(spec.key, decision.notice)
            return None
        # The key names what the run is for: submitted again after a kill it is the same run.
        once = seen.subject or f"{memory.fired_at or 0}:{memory.without_help}"
        submission = f"on:{spec.key}:{spec.condition.kind}:{trigger.record}:{once}"
        run_id = self._ports.submit(trigger, submission, seen.evidence)
        self._keep(spec.key, memory, decision.memory)
        return Triggered(spec.key, spec.condition.kind, seen.evidence, run_id)

    def _recall(self, key: str) -> TriggerState:
        stored = self._memories.trigger_state(key)
        return msgspec.json.decode(stored, type=TriggerState) if stored else TriggerState()

    def _keep(self, key: str, before: TriggerState, memory: TriggerState) -> None:
        if memory != before:
            self._memories.put_trigger_state(key, msgspec.json.encode(memory))


def refuse_when_busy(key: str, current: RecurringRun, active: int) -> None:
    """Raises ScheduleBusy where a schedule has as many runs under way as it may have."""
    limit = current.spec.max_concurrency if current.spec else 1
    if active >= limit:
        raise ScheduleBusy(
            f"{key} has {active} run(s) under way, and max_concurrency is {limit}",
            where=key,
            fix="platform-ctl run list",
        )
