"""Conditions: one run when they become true, and reasons why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from platform_ctl.errors import ClusterUnavailable
from platform_ctl.schedules.document import (
    ConditionKind,
    QuietHours,
    Spec,
    StartCondition,
    VersionPolicy,
)
from platform_ctl.schedules.trigger import ConditionReading, Trigger, TriggerEvaluator, TriggerPorts
from tests.fakes.schedules import Killed

BEGIN = 1_795_000_000  # 11:06:40 UTC
STALE = StartCondition(ConditionKind.FRESHNESS, recipe="train_deploy", older_than_s=60)


def trigger(condition: StartCondition = STALE, **more: object) -> Trigger:
    fields = {"cool_down_s": 86400, "stop_after": 3, **more}
    spec = Spec("blue", "fresh", "hello", VersionPolicy.LATEST, "", condition=condition, **fields)
    return Trigger(spec, "r1", BEGIN)


@dataclass
class World:
    """What the arbiter sees and does; ``die`` ends the process around the submission."""

    now: int = BEGIN
    holds: bool = True
    subjects: list[str] = field(default_factory=list)
    open: int = 0
    die: str = ""
    runs: dict[str, str] = field(default_factory=dict)
    states: dict[str, bytes] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def trigger_state(self, key: str) -> bytes | None:
        return self.states.get(key)

    def put_trigger_state(self, key: str, state: bytes) -> None:
        if self.die == "after":
            raise Killed
        self.states[key] = state

    def suppressed(self, key: str, reason: str, now: int) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1

    def observe(self, found: Trigger, seen: Sequence[str]) -> ConditionReading:
        if found.spec.condition.kind is ConditionKind.AFTER:
            new = [s for s in self.subjects if s not in seen]
            return ConditionReading(bool(new), "after", new[0] if new else "")
        return ConditionReading(self.holds, "100 s old, limit 60 s")

    def submit(self, found: Trigger, submission: str, evidence: str) -> str:
        if self.die == "before":
            raise Killed
        return self.runs.setdefault(submission, evidence)

    def look(self, found: Trigger, after_s: int = 0) -> list:
        self.now += after_s
        ports = TriggerPorts(
            self.observe,
            self.submit,
            lambda t: self.open,
            lambda k, text: self.notices.append(text),
        )
        return TriggerEvaluator(self, ports, lambda: self.now).look([found])


def test_a_thousand_true_looks_are_one_run():
    world = World()
    for _ in range(1000):
        world.look(trigger(), 15)
    assert len(world.runs) == 1 and world.counts == {"cool_down": 999}


def test_becoming_true_again_starts_another_after_the_cool_down():
    world = World()
    world.look(trigger())
    world.holds = False
    world.look(trigger(), 60)
    world.holds = True
    assert world.look(trigger(), 60) == []
    (started,) = world.look(trigger(), 86400)
    assert (started.reason, started.evidence) == ("freshness", "100 s old, limit 60 s")
    assert len(world.runs) == 2


def test_runs_that_do_not_help_end_with_a_notice():
    world = World()
    for _ in range(10):
        world.look(trigger(), 90_000)
    assert len(world.runs) == 3
    assert len(world.notices) == 1 and "3 runs left the condition true" in world.notices[0]
    world.holds = False
    world.look(trigger(), 60)
    world.holds = True
    world.look(trigger(), 90_000)
    assert len(world.runs) == 4


def test_one_open_run():
    world = World(open=1)
    world.look(trigger())
    assert world.runs == {} and world.counts == {"open_run": 1}
    world.open = 0
    world.look(trigger())
    assert len(world.runs) == 1


def test_quiet_hours_hold_a_run_back_and_do_not_lose_it():
    quiet = trigger(quiet_hours=(QuietHours(11 * 3600, 12 * 3600),))
    world = World()
    world.look(quiet)
    assert world.counts == {"quiet_hours": 1}
    world.look(quiet, 3600)
    assert len(world.runs) == 1


def test_after_is_once_for_each_upstream_run():
    after = trigger(StartCondition(ConditionKind.AFTER, after="ingest"), cool_down_s=0)
    world = World(subjects=["a", "b"])
    for _ in range(5):
        world.look(after)
    assert len(world.runs) == 2
    world.subjects.append("c")
    world.look(after)
    assert len(world.runs) == 3


@pytest.mark.parametrize("die", ["before", "after"])
@pytest.mark.parametrize(
    "found",
    [trigger(), trigger(StartCondition(ConditionKind.AFTER, after="ingest"), cool_down_s=0)],
)
def test_killed_around_the_submission_it_is_one_run(die, found):
    world = World(subjects=["a"], die=die)
    with pytest.raises(Killed):
        world.look(found)
    world.die = ""
    for _ in range(3):
        world.look(found, 1)
    assert len(world.runs) == 1


def test_one_that_fails_keeps_no_other_back():
    world = World()

    def observe(found: Trigger, seen: Sequence[str]) -> ConditionReading:
        raise ClusterUnavailable("away", where="x", fix="y")

    ports = TriggerPorts(observe, world.submit, lambda t: 0)
    found = TriggerEvaluator(world, ports, lambda: BEGIN).look([trigger(), trigger()])
    assert [f.error for f in found] == ["away (err-cluster-unavailable)"] * 2
