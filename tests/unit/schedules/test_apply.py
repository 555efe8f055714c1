"""Apply: killed after each call it is finished by the next one; no slot twice, none lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from platform_ctl.errors import PlanOutdated, RecordDiffers, WrongZone
from platform_ctl.schedules import apply as apply_module
from platform_ctl.schedules.apply import (
    Applied,
    Apply,
    ApplyOptions,
    ApplyOutcome,
    Clock,
    ScheduleSource,
)
from platform_ctl.schedules.plan import ScheduleAction, SchedulePlan
from platform_ctl.schedules.port import Pause, RecurringRun, Server
from tests.fakes.schedules import FakeSchedules, Fault, Killed, Time, unavailable
from tests.support import schedule_files as files

SOURCE = ScheduleSource("https://git.example.org/team/project", "c0ffee")
BEGIN = 1_795_000_080  # a multiple of 120
EACH_2_MIN = '{cron: "0 */2 * * * *", catch_up: all}'
KEY = "blue/nightly"


class Sandbox:
    """A project, a fake target and a clock."""

    def __init__(self, root: Path, **options: object) -> None:
        self.root = root
        self.time = Time(BEGIN)
        self.port = FakeSchedules(self.time, **options)
        self.documents = files.load(root, files.entry())

    def write(self, *entries: str, **more: str) -> None:
        self.documents = files.load(self.root, *entries, **more)

    def plan(self, **options: bool) -> SchedulePlan:
        state = apply_module.read_state(self.port, self.documents, SOURCE)
        return apply_module.make_plan(self.port, state, self.time.now, **options)

    def apply(self, **options: object) -> list[Applied]:
        clock = Clock(lambda: self.time.now, self.time.pass_)
        done = Apply(self.port, self.documents, SOURCE, clock, ApplyOptions(**options))
        return done.run("test")

    def actions(self, **options: bool) -> dict[str, ScheduleAction]:
        return {c.key: c.action for c in self.plan(**options).changes}


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def test_the_second_apply_changes_nothing(sandbox):
    assert sandbox.actions() == {KEY: ScheduleAction.CREATE}
    assert [a.outcome for a in sandbox.apply()] == [ApplyOutcome.DONE]
    (run,) = sandbox.port.enabled(KEY)
    assert run.display_name.startswith("git::blue::nightly::")
    assert run.mark.source == SOURCE.repository and run.mark.commit == "c0ffee"
    assert sandbox.plan().in_sync
    writes = list(sandbox.port.writes)
    assert sandbox.apply() == [] and sandbox.port.writes == writes


def test_a_change_is_shown_by_field_with_fire_times(sandbox):
    sandbox.apply()
    sandbox.write(files.entry(parameters="{trials: 5}", trigger='{cron: "0 0 7 * * TUE"}'))
    (change,) = sandbox.plan().changes
    assert change.action is ScheduleAction.REPLACE
    assert change.why == (
        "cron: 0 0 6 * * MON -> 0 0 7 * * TUE",
        "parameters.trials: null -> 5",
    )
    assert change.before[0] == "2026-11-23T06:00:00Z" and len(change.before) == 5
    assert change.after[0] == "2026-11-24T07:00:00Z" and len(change.after) == 5


def test_old_versions_beyond_keep_history_are_deleted(sandbox):
    for trials in range(1, 6):
        sandbox.write(files.entry(parameters=f"{{trials: {trials}}}", keep_history="2"))
        sandbox.apply()
    assert len(sandbox.port.list()) == 3
    assert len(sandbox.port.enabled(KEY)) == 1
    sandbox.write(files.entry(parameters="{trials: 5}", keep_history="0"))
    assert sandbox.actions() == {KEY: ScheduleAction.CLEAN}
    sandbox.apply()
    assert [r.enabled for r in sandbox.port.list()] == [True]
    assert sandbox.plan().in_sync


def _replacing(root: Path, **options: object) -> Sandbox:
    sandbox = Sandbox(root, **options)
    sandbox.write(files.entry(trigger=EACH_2_MIN), files.entry("other", keep_history="0"))
    sandbox.apply()
    sandbox.time.pass_(500)
    sandbox.write(
        files.entry(trigger=EACH_2_MIN, parameters="{trials: 5}", experiment="weekly"),
        files.entry("other", parameters="{trials: 5}", keep_history="0"),
        files.entry("third"),
        experiments="experiments:\n- name: weekly\n",
    )
    sandbox.port.writes.clear()
    return sandbox


def test_killed_after_each_call_the_next_apply_finishes(tmp_path):
    whole = _replacing(tmp_path / "whole")
    whole.apply()
    calls = len(whole.port.writes)
    assert calls >= 9
    for at in range(calls):
        for carried_out in (True, False):
            for error in (Killed, unavailable):
                sandbox = _replacing(tmp_path / f"{at}{carried_out}{error.__name__}")
                sandbox.port.fault = Fault(at, carried_out, error)
                try:
                    sandbox.apply()
                except Killed:
                    pass
                sandbox.port.fault = None
                sandbox.time.pass_(7)
                sandbox.apply()
                assert sandbox.plan().in_sync, (at, carried_out, error)
                assert sandbox.port.most_enabled == 1
                for key in (KEY, "blue/other", "blue/third"):
                    assert len(sandbox.port.enabled(key)) == 1


def _slots_fired(sandbox: Sandbox, key: str = KEY) -> list[int]:
    return [slot for k, slot in sandbox.port.fired if k == key]


@pytest.mark.parametrize("offset", range(0, 120, 7))
@pytest.mark.parametrize("call_s", [0, 3, 9])
def test_of_slots_two_minutes_apart_none_fires_twice_and_none_is_lost(tmp_path, offset, call_s):
    sandbox = Sandbox(tmp_path, call_s=call_s)
    sandbox.write(files.entry(trigger=EACH_2_MIN))
    sandbox.apply()
    sandbox.time.pass_(600 + offset)
    sandbox.write(files.entry(trigger=EACH_2_MIN, parameters="{trials: 5}"))
    sandbox.apply()
    sandbox.time.pass_(600)
    slots = _slots_fired(sandbox)
    assert slots == list(range(slots[0], slots[-1] + 1, 120))
    assert sandbox.port.most_enabled == 1


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("later_s", [1, 45, 130, 700])
def test_killed_in_the_switch_no_slot_fires_twice_and_none_is_lost(tmp_path, at, later_s):
    sandbox = Sandbox(tmp_path, call_s=2)
    sandbox.write(files.entry(trigger=EACH_2_MIN))
    sandbox.apply()
    sandbox.time.pass_(600)
    sandbox.write(files.entry(trigger=EACH_2_MIN, parameters="{trials: 5}", keep_history="0"))
    sandbox.port.fault = Fault(len(sandbox.port.writes) + at, carried_out=True)
    try:
        sandbox.apply()
    except Killed:
        pass
    sandbox.port.fault = None
    sandbox.time.pass_(later_s)
    sandbox.apply()
    sandbox.time.pass_(900)
    slots = _slots_fired(sandbox)
    assert slots == list(range(slots[0], slots[-1] + 1, 120)), slots
    assert sandbox.plan().in_sync


def test_closer_slots_fire_at_most_once_and_the_plan_says_how_many_are_lost(tmp_path):
    minutely = '{cron: "0 * * * * *", catch_up: all}'
    sandbox = Sandbox(tmp_path, call_s=2)
    sandbox.write(files.entry(trigger=minutely))
    sandbox.apply()
    sandbox.time.pass_(300)
    sandbox.write(files.entry(trigger=minutely, parameters="{trials: 5}"))
    (change,) = sandbox.plan().changes
    sandbox.apply()
    sandbox.time.pass_(300)
    slots = _slots_fired(sandbox)
    assert len(slots) == len(set(slots))
    missing = (slots[-1] - slots[0]) // 60 + 1 - len(slots)
    assert 0 <= missing <= change.lost == 1


def test_an_interval_keeps_its_phase(tmp_path):
    sandbox = Sandbox(tmp_path)
    sandbox.write(files.entry(trigger="{interval_s: 600}"))
    sandbox.apply()
    sandbox.time.pass_(1900)
    sandbox.write(files.entry(trigger="{interval_s: 600}", parameters="{trials: 5}"))
    sandbox.apply()
    sandbox.time.pass_(3000)
    slots = _slots_fired(sandbox)
    assert slots == list(range(slots[0], slots[-1] + 1, 600))


def test_a_file_that_goes_back_does_not_fire_old_slots_again(tmp_path):
    sandbox = Sandbox(tmp_path)
    one, two = files.entry(trigger=EACH_2_MIN), files.entry(trigger=EACH_2_MIN, version="latest")
    for entry in (one, two, one, two):
        sandbox.write(entry)
        sandbox.apply()
        sandbox.time.pass_(700)
    slots = _slots_fired(sandbox)
    assert slots == list(range(slots[0], slots[-1] + 1, 120))


def test_a_switch_waits_for_the_runs_of_the_old_version(tmp_path):
    sandbox = Sandbox(tmp_path, run_s=5000)
    sandbox.write(files.entry(trigger='{cron: "0 0 * * * *"}'))
    sandbox.apply()
    sandbox.time.pass_(3700)
    sandbox.write(files.entry(trigger='{cron: "0 0 * * * *"}', parameters="{trials: 5}"))
    (change,) = sandbox.plan().changes
    assert len(change.in_flight) == 1
    (applied,) = sandbox.apply()
    assert applied.outcome is ApplyOutcome.WAITING and len(sandbox.port.list()) == 1
    (applied,) = sandbox.apply(now=True)
    assert applied.outcome is ApplyOutcome.DONE
    assert len(sandbox.port.enabled(KEY)) == 1


def test_a_held_slot_is_fired_by_the_new_version(tmp_path):
    hourly = '{cron: "0 0 * * * *"}'
    sandbox = Sandbox(tmp_path, run_s=9000)
    sandbox.write(files.entry(trigger=hourly))
    sandbox.apply()
    sandbox.time.pass_(3600 + 3700)
    fired = _slots_fired(sandbox)
    sandbox.write(files.entry(trigger=hourly, parameters="{trials: 5}"))
    sandbox.apply(now=True)
    sandbox.time.pass_(60)
    slots = _slots_fired(sandbox)
    assert len(slots) == len(set(slots)) == len(fired) + 1


def test_servers_that_end_runs_with_their_record_delete_when_idle(tmp_path):
    sandbox = Sandbox(tmp_path, run_s=4000, ignores_orphan=True, server_=Server("2.15.0", "UTC"))
    hourly = '{cron: "0 0 * * * *"}'
    sandbox.write(files.entry(trigger=hourly, keep_history="0"))
    sandbox.apply()
    sandbox.time.pass_(3700)
    sandbox.write(files.entry(trigger=hourly, parameters="{trials: 5}", keep_history="0"))
    (applied,) = sandbox.apply(now=True)
    assert applied.outcome is ApplyOutcome.WAITING and sandbox.port.ended_by_deletion == 0
    assert len(sandbox.port.list()) == 2
    sandbox.port.fires = False
    sandbox.time.pass_(4000)
    sandbox.apply()
    assert len(sandbox.port.list()) == 1 and sandbox.port.ended_by_deletion == 0
    assert any("may end runs" in note for note in sandbox.plan().notes)


def test_deletion_is_explicit(tmp_path):
    sandbox = Sandbox(tmp_path)
    sandbox.write(files.entry(), files.entry("other"))
    sandbox.apply()
    sandbox.write(files.entry(), files.entry("other", state="absent"))
    assert sandbox.actions() == {"blue/other": ScheduleAction.DELETE}
    sandbox.apply()
    assert [r.key for r in sandbox.port.list()] == [KEY]
    sandbox.write()
    assert sandbox.actions() == {KEY: ScheduleAction.LEFT}
    sandbox.apply()
    assert len(sandbox.port.list()) == 1
    (tmp_path / "pipelines/schedules/blue/recurring_runs.yaml").unlink()
    from platform_ctl.schedules.read import documents

    sandbox.documents = documents(files.project(tmp_path))
    assert sandbox.apply(prune=True) == [] and len(sandbox.port.list()) == 1
    assert any("nothing of it is pruned" in note for note in sandbox.plan(prune=True).notes)
    sandbox.write()
    sandbox.apply(prune=True)
    assert sandbox.port.list() == []


def test_what_somebody_else_made_is_shown_and_never_touched(sandbox):
    sandbox.apply()
    (run,) = sandbox.port.list()
    theirs = [
        replace(run, id="x1", display_name="nightly", description=""),
        replace(run, id="x2", description="by hand"),
        replace(run, id="x3", description=run.description.replace(SOURCE.repository, "elsewhere")),
    ]
    for record in theirs:
        sandbox.port.records.append(type(sandbox.port.records[0])(record))
    assert sandbox.plan().in_sync and len(sandbox.plan().unmanaged) == 3
    sandbox.write()
    sandbox.apply(prune=True)
    assert {r.id for r in sandbox.port.list()} == {"x1", "x2", "x3"}


def test_a_change_by_hand_is_found_and_mended(sandbox):
    sandbox.apply()
    (run,) = sandbox.port.list()
    sandbox.port.by_hand(run.id, spec=replace(run.spec, max_concurrency=7))
    (change,) = sandbox.plan().changes
    assert change.action is ScheduleAction.RECREATE
    assert change.why == ("changed outside the platform: max_concurrency: 7 -> 1",)
    sandbox.apply()
    sandbox.port.by_hand(sandbox.port.enabled(KEY)[0].id, enabled=False)
    assert sandbox.actions() == {KEY: ScheduleAction.ENABLE}
    sandbox.apply()
    assert sandbox.plan().in_sync


def test_a_record_that_lost_its_scheduled_workflow_is_made_anew(sandbox):
    sandbox.apply()
    (run,) = sandbox.port.list()
    sandbox.port.by_hand(run.id, backed=False)
    (change,) = sandbox.plan().changes
    assert change.action is ScheduleAction.RECREATE and "reinstalled" in change.why[0]
    sandbox.apply()
    assert sandbox.plan().in_sync and run.id not in {r.id for r in sandbox.port.enabled(KEY)}


def test_a_version_pinned_under_an_older_kfp_is_replaced(sandbox):
    sandbox.port.server_ = Server("2.16.1", "UTC")
    sandbox.apply()
    sandbox.port.server_ = Server("2.17.0", "UTC")
    (change,) = sandbox.plan().changes
    assert change.why == ("pinned under KFP 2.16.1, the server is 2.17.0",)
    sandbox.apply()
    assert sandbox.plan().in_sync and len(sandbox.port.enabled(KEY)) == 1


def test_an_apply_keeps_a_pause_until_it_ends(sandbox):
    sandbox.apply()
    until = BEGIN + 3600
    pause = Pause("ann", "holiday", BEGIN, until)
    apply_module.pause(sandbox.port, SOURCE.repository, KEY, pause, "test")
    assert sandbox.port.enabled(KEY) == [] and sandbox.plan().in_sync
    sandbox.write(files.entry(parameters="{trials: 5}"))
    sandbox.apply()
    assert sandbox.port.enabled(KEY) == [] and sandbox.plan().in_sync
    sandbox.time.pass_(3601)
    assert sandbox.actions() == {KEY: ScheduleAction.ENABLE}
    sandbox.apply()
    assert len(sandbox.port.enabled(KEY)) == 1


def test_a_plan_is_refused_when_files_or_records_have_moved(sandbox):
    fingerprint = sandbox.plan().fingerprint
    sandbox.write(files.entry(enabled="false"))
    with pytest.raises(PlanOutdated):
        sandbox.apply(fingerprint=fingerprint)
    assert sandbox.port.writes == []
    sandbox.apply(fingerprint=sandbox.plan().fingerprint)
    moved = sandbox.plan().fingerprint
    sandbox.port.by_hand(sandbox.port.list()[0].id, enabled=True)
    with pytest.raises(PlanOutdated):
        sandbox.apply(fingerprint=moved)


def test_a_controller_in_another_zone_is_refused_and_an_unread_one_is_said(sandbox):
    sandbox.port.server_ = Server("2.17.0", "Europe/Berlin")
    with pytest.raises(WrongZone) as raised:
        sandbox.apply()
    assert raised.value.exit_code == 3 and sandbox.port.writes == []
    sandbox.port.server_ = Server("2.17.0", None)
    assert any("time zone cannot be read" in note for note in sandbox.plan().notes)


def test_a_record_that_differs_from_what_was_sent_is_not_enabled(sandbox):
    class Lossy(FakeSchedules):
        def list(self) -> list[RecurringRun]:
            return [replace(r, spec=replace(r.spec, max_concurrency=9)) for r in super().list()]

    sandbox.port = Lossy(sandbox.time)
    (applied,) = sandbox.apply()
    assert applied.outcome is ApplyOutcome.FAILED and isinstance(applied.error, RecordDiffers)
    assert sandbox.port.enabled(KEY) == []


def test_slots_that_enabling_fires_at_once_are_in_the_plan(sandbox):
    trigger = '{cron: "0 0 * * * *", catch_up: all, start_at: "2026-11-18T00:30:00Z"}'
    sandbox.write(files.entry(trigger=trigger))
    (change,) = sandbox.plan().changes
    assert change.at_once == 11  # 01:00 to 11:00; it is 11:08


def test_a_plan_of_200_schedules_takes_less_than_two_seconds(sandbox):
    import time

    entries = [
        files.entry(f"s{n}", trigger=f'{{cron: "0 {n % 60} {n % 24} * * *"}}') for n in range(200)
    ]
    sandbox.write(*entries)
    begun = time.process_time()
    sandbox.write(*entries)
    assert len(sandbox.plan().changes) == 200
    took = time.process_time() - begun
    sandbox.apply()
    assert sandbox.apply() == []
    assert took < 2, took
