"""Looks at a condition: from readings to whether it holds, with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from platform_ctl.schedules.document import ConditionKind, StartCondition
from platform_ctl.schedules.trigger import ConditionReading, Trigger


@dataclass(frozen=True)
class Readings:
    """What conditions read; None where there is nothing to read yet."""

    newest_record: Callable[[str], float | None]
    """Recipe -> time of the newest record of its table, seconds since the epoch."""
    true_error: Callable[[str, str], float | None]
    """(service, metric) -> error of its answers against labels that arrived since."""


class ConditionSource(Protocol):
    """What a target knows of its pipelines and runs; the rest of a look is the same on both."""

    @property
    def readings(self) -> Readings: ...

    @property
    def now(self) -> Callable[[], int]:
        """Seconds since the epoch."""
        ...

    def pipeline_digests(self, trigger: Trigger) -> tuple[str, str]:
        """SHA-256 of the trigger's compiled pipeline now, and of the one that was applied."""
        ...

    def succeeded(self, key: str, since: int) -> Sequence[str]:
        """Ids of the runs of schedule ``key`` that succeeded, started since; oldest first."""
        ...


def observe(source: ConditionSource, trigger: Trigger, seen: Sequence[str]) -> ConditionReading:
    """Whether a trigger's condition holds. ``seen``: what started earlier runs, oldest first."""
    spec = trigger.spec
    condition = spec.condition
    assert condition is not None
    if condition.kind is ConditionKind.FRESHNESS:
        newest = source.readings.newest_record(condition.recipe)
        return freshness(condition, newest, source.now())
    if condition.kind is ConditionKind.DRIFT:
        value = source.readings.true_error(condition.service, condition.metric)
        return drift(condition, value)
    if condition.kind is ConditionKind.PIPELINE_CHANGED:
        digest, applied = source.pipeline_digests(trigger)
        return pipeline_changed(spec.pipeline, digest, applied, seen)
    upstream = f"{spec.team}/{condition.after}"
    return after(condition.after, source.succeeded(upstream, trigger.since), seen)


def freshness(condition: StartCondition, newest: float | None, now: int) -> ConditionReading:
    """Whether a recipe's data is older than it may be. No data at all is old."""
    limit = condition.older_than_s
    if newest is None:
        return ConditionReading(True, f"no data of {condition.recipe}, limit {limit} s")
    age_s = max(0, int(now - newest))
    evidence = f"newest record of {condition.recipe} is {age_s} s old, limit {limit} s"
    return ConditionReading(age_s > limit, evidence)


def drift(condition: StartCondition, value: float | None) -> ConditionReading:
    """Whether a model in production is worse than it may be. Unknown is not worse."""
    name, limit = f"{condition.metric} of {condition.service}", condition.above
    if value is None:
        return ConditionReading(False, f"{name} is not known yet, limit {limit:g}")
    return ConditionReading(value > limit, f"{name} is {value:.4g}, limit {limit:g}")


def pipeline_changed(
    pipeline: str, digest: str, applied: str, seen: Sequence[str]
) -> ConditionReading:
    """Whether the compiled pipeline is another one than when it was applied or last run."""
    before = seen[-1] if seen else applied
    evidence = f"{pipeline} is {digest[:12]}, was {before[:12]}"
    return ConditionReading(digest != before, evidence, digest)


def after(upstream: str, succeeded: Sequence[str], seen: Sequence[str]) -> ConditionReading:
    """Whether a run of the upstream schedule succeeded that had no run yet; the oldest first."""
    new = [run for run in succeeded if run not in seen]
    if not new:
        return ConditionReading(False, f"no new run of {upstream}")
    return ConditionReading(True, f"run {new[0][:8]} of {upstream} succeeded", new[0])
