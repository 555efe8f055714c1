"""Apply: killed after each call it is finished by the next one; no slot twice, none lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from platform_ctl.errors import PlanOutdated, RecordDiffers, WrongZone
from platform_ctl.schedules import apply as apply_module
from platform_ctl.schedules.apply import Applied, Apply, Clock, Options, Outcome, Source
from platform_ctl.schedules.plan import Action, Plan
from platform_ctl.schedules.port import Pause, RecurringRun, Server
from tests.fakes.schedules import FakeSchedules, Fault, Killed, Time, unavailable
from tests.support import schedule_files as files

SOURCE = Source("https://git.example.org/team/project", "c0ffee")
BEGIN = 1_795_000_080  # a multiple of 120
EACH_2_MIN = '{cron: "0 */2 * * * *", catch_up: all}'
KEY = "blue/nightly"


class Bench:
    """A project, a fake target and a clock."""

    def __init__(self, root: Path, **options: object) -> None:
        self.root = root
        self.time = Time(BEGIN)
        self.port = FakeSchedules(self.time, **options)
        self.documents = files.load(root, files.entry())

    def write(self, *entries: str, **more: str) -> None:
        self.documents = files.load(self.root, *entries, **more)

    def plan(self, **options: bool) -> Plan:
        state = apply_module.read_state(self.port, self.documents, SOURCE)
        return apply_module.make_plan(self.port, state, self.time.now, **options)

    def apply(self, **options: object) -> list[Applied]:
        clock = Clock(lambda: self.time.now, self.time.pass_)
        done = Apply(self.port, self.documents, SOURCE, clock, Options(**options))
        return done.run("test")

    def actions(self, **options: bool) -> dict[str, Action]:
        return {c.key: c.action for c in self.plan(**options).changes}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_second_apply_changes_nothing(bench):
    assert bench.actions() == {KEY: Action.CREATE}
    assert [a.outcome for a in bench.apply()] == [Outcome.DONE]
    (run,) = bench.port.enabled(KEY)
    assert run.display_name.startswith("git::blue::nightly::")
    assert run.mark.source == SOURCE.repository and run.mark.commit == "c0ffee"
    assert bench.plan().in_sync
    writes = list(bench.port.writes)
    assert bench.apply() == [] and bench.port.writes == writes


def test_a_change_is_shown_by_field_with_fire_times(bench):
    bench.apply()
    bench.write(files.entry(parameters="{trials: 5}", trigger='{cron: "0 0 7 * * TUE"}'))
    (change,) = bench.plan().changes
    assert change.action is Action.REPLACE
    assert change.why == (
        "cron: 0 0 6 * * MON -> 0 0 7 * * TUE",
        "parameters.trials: null -> 5",
    )
    assert change.before[0] == "2026-11-23T06:00:00Z" and len(change.before) == 5
    assert change.after[0] == "2026-11-24T07:00:00Z" and len(change.after) == 5


def test_old_versions_beyond_keep_history_are_deleted(bench):
    for trials in range(1, 6):
        bench.write(files.entry(parameters=f"{{trials: {trials}}}", keep_history="2"))
        bench.apply()
    assert len(bench.port.list()) == 3
    assert len(bench.port.enabled(KEY)) == 1
    bench.write(files.entry(parameters="{trials: 5}", keep_history="0"))
    assert bench.actions() == {KEY: Action.CLEAN}
    bench.apply()
    assert [r.enabled for r in bench.port.list()] == [True]
    assert bench.plan().in_sync


def _replacing(root: Path, **options: object) -> Bench:
    bench = Bench(root, **options)
    bench.write(files.entry(trigger=EACH_2_MIN), files.entry("other", keep_history="0"))
    bench.apply()
    bench.time.pass_(500)
    bench.write(
        files.entry(trigger=EACH_2_MIN, parameters="{trials: 5}", experiment="weekly"),
        files.entry("other", parameters="{trials: 5}", keep_history="0"),
        files.entry("third"),
        experiments="experiments:\n- name: weekly\n",
    )
    bench.port.writes.clear()
    return bench


def test_killed_after_each_call_the_next_apply_finishes(tmp_path):
    whole = _replacing(tmp_path / "whole")
    whole.apply()
    calls = len(whole.port.writes)
    assert calls >= 9
    for at in range(calls):
        for carried_out in (True, False):
            for error in (Killed, unavailable):
                bench = _replacing(tmp_path / f"{at}{carried_out}{error.__name__}")
                bench.port.fault = Fault(at, carried_out, error)
                try:
                    bench.apply()
                except Killed:
                    pass
                bench.port.fault = None
                bench.time.pass_(7)
                bench.apply()
                assert bench.plan().in_sync, (at, carried_out, error)
                assert bench.port.most_enabled == 1
                for key in (KEY, "blue/other", "blue/third"):
                    assert len(bench.port.enabled(key)) == 1


def _slots_fired(bench: Bench, key: str = KEY) -> list[int]:
    return [slot for k, slot in bench.port.fired if k == key]


@pytest.mark.parametrize("offset", range(0, 120, 7))
@pytest.mark.parametrize("call_s", [0, 3, 9])
def test_of_slots_two_minutes_apart_none_fires_twice_and_none_is_lost(tmp_path, offset, call_s):
    bench = Bench(tmp_path, call_s=call_s)
    bench.write(files.entry(trigger=EACH_2_MIN))
    bench.apply()
    bench.time.pass_(600 + offset)
    bench.write(files.entry(trigger=EACH_2_MIN, parameters="{trials: 5}"))
    bench.apply()
    bench.time.pass_(600)
    slots = _slots_fired(bench)
    assert slots == list(range(slots[0], slots[-1] + 1, 120))
    assert bench.port.most_enabled == 1


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("later_s", [1, 45, 130, 700])
def test_killed_in_the_switch_no_slot_fires_twice_and_none_is_lost(tmp_path, at, later_s):
    bench = Bench(tmp_path, call_s=2)
    bench.write(files.entry(trigger=EACH_2_MIN))
    bench.apply()
    bench.time.pass_(600)
    bench.write(files.entry(trigger=EACH_2_MIN, parameters="{trials: 5}", keep_history="0"))
    bench.port.fault = Fault(len(bench.port.writes) + at, carried_out=True)
    try:
        bench.apply()
    except Killed:
        pass
    bench.port.fault = None
    bench.time.pass_(later_s)
    bench.apply()
    bench.time.pass_(900)
    slots = _slots_fired(bench)
    assert slots == list(range(slots[0], slots[-1] + 1, 120)), slots
    assert bench.plan().in_sync


def test_closer_slots_fire_at_most_once_and_the_plan_says_how_many_are_lost(tmp_path):
    minutely = '{cron: "0 * * * * *", catch_up: all}'
    bench = Bench(tmp_path, call_s=2)
    bench.write(files.entry(trigger=minutely))
    bench.apply()
    bench.time.pass_(300)
    bench.write(files.entry(trigger=minutely, parameters="{trials: 5}"))
    (change,) = bench.plan().changes
    bench.apply()
    bench.time.pass_(300)
    slots = _slots_fired(bench)
    assert len(slots) == len(set(slots))
    missing = (slots[-1] - slots[0]) // 60 + 1 - len(slots)
    assert 0 <= missing <= change.lost == 1


def test_an_interval_keeps_its_phase(tmp_path):
    bench = Bench(tmp_path)
    bench.write(files.entry(trigger="{interval_s: 600}"))
    bench.apply()
    bench.time.pass_(1900)
    bench.write(files.entry(trigger="{interval_s: 600}", parameters="{trials: 5}"))
    bench.apply()
    bench.time.pass_(3000)
    slots = _slots_fired(bench)
    assert slots == list(range(slots[0], slots[-1] + 1, 600))


def test_a_file_that_goes_back_does_not_fire_old_slots_again(tmp_path):
    bench = Bench(tmp_path)
    one, two = files.entry(trigger=EACH_2_MIN), files.entry(trigger=EACH_2_MIN, version="latest")
    for entry in (one, two, one, two):
        bench.write(entry)
        bench.apply()
        bench.time.pass_(700)
    slots = _slots_fired(bench)
    assert slots == list(range(slots[0], slots[-1] + 1, 120))


def test_a_switch_waits_for_the_runs_of_the_old_version(tmp_path):
    bench = Bench(tmp_path, run_s=5000)
    bench.write(files.entry(trigger='{cron: "0 0 * * * *"}'))
    bench.apply()
    bench.time.pass_(3700)
    bench.write(files.entry(trigger='{cron: "0 0 * * * *"}', parameters="{trials: 5}"))
    (change,) = bench.plan().changes
    assert len(change.in_flight) == 1
    (applied,) = bench.apply()
    assert applied.outcome is Outcome.WAITING and len(bench.port.list()) == 1
    (applied,) = bench.apply(now=True)
    assert applied.outcome is Outcome.DONE
    assert len(bench.port.enabled(KEY)) == 1


def test_a_held_slot_is_fired_by_the_new_version(tmp_path):
    hourly = '{cron: "0 0 * * * *"}'
    bench = Bench(tmp_path, run_s=9000)
    bench.write(files.entry(trigger=hourly))
    bench.apply()
    bench.time.pass_(3600 + 3700)
    fired = _slots_fired(bench)
    bench.write(files.entry(trigger=hourly, parameters="{trials: 5}"))
    bench.apply(now=True)
    bench.time.pass_(60)
    slots = _slots_fired(bench)
    assert len(slots) == len(set(slots)) == len(fired) + 1


def test_servers_that_end_runs_with_their_record_delete_when_idle(tmp_path):
    bench = Bench(tmp_path, run_s=4000, ignores_orphan=True, server_=Server("2.15.0", "UTC"))
    hourly = '{cron: "0 0 * * * *"}'
    bench.write(files.entry(trigger=hourly, keep_history="0"))
    bench.apply()
    bench.time.pass_(3700)
    bench.write(files.entry(trigger=hourly, parameters="{trials: 5}", keep_history="0"))
    (applied,) = bench.apply(now=True)
    assert applied.outcome is Outcome.WAITING and bench.port.ended_by_deletion == 0
    assert len(bench.port.list()) == 2
    bench.port.fires = False
    bench.time.pass_(4000)
    bench.apply()
    assert len(bench.port.list()) == 1 and bench.port.ended_by_deletion == 0
    assert any("may end runs" in note for note in bench.plan().notes)


def test_deletion_is_explicit(tmp_path):
    bench = Bench(tmp_path)
    bench.write(files.entry(), files.entry("other"))
    bench.apply()
    bench.write(files.entry(), files.entry("other", state="absent"))
    assert bench.actions() == {"blue/other": Action.DELETE}
    bench.apply()
    assert [r.key for r in bench.port.list()] == [KEY]
    bench.write()
    assert bench.actions() == {KEY: Action.LEFT}
    bench.apply()
    assert len(bench.port.list()) == 1
    (tmp_path / "pipelines/schedules/blue/recurring_runs.yaml").unlink()
    from platform_ctl.schedules.read import documents

    bench.documents = documents(files.project(tmp_path))
    assert bench.apply(prune=True) == [] and len(bench.port.list()) == 1
    assert any("nothing of it is pruned" in note for note in bench.plan(prune=True).notes)
    bench.write()
    bench.apply(prune=True)
    assert bench.port.list() == []


def test_what_somebody_else_made_is_shown_and_never_touched(bench):
    bench.apply()
    (run,) = bench.port.list()
    theirs = [
        replace(run, id="x1", display_name="nightly", description=""),
        replace(run, id="x2", description="by hand"),
        replace(run, id="x3", description=run.description.replace(SOURCE.repository, "elsewhere")),
    ]
    for record in theirs:
        bench.port.records.append(type(bench.port.records[0])(record))
    assert bench.plan().in_sync and len(bench.plan().unmanaged) == 3
    bench.write()
    bench.apply(prune=True)
    assert {r.id for r in bench.port.list()} == {"x1", "x2", "x3"}


def test_a_change_by_hand_is_found_and_mended(bench):
    bench.apply()
    (run,) = bench.port.list()
    bench.port.by_hand(run.id, spec=replace(run.spec, max_concurrency=7))
    (change,) = bench.plan().changes
    assert change.action is Action.RECREATE
    assert change.why == ("changed by hand: max_concurrency: 7 -> 1",)
    bench.apply()
    bench.port.by_hand(bench.port.enabled(KEY)[0].id, enabled=False)
    assert bench.actions() == {KEY: Action.ENABLE}
    bench.apply()
    assert bench.plan().in_sync


def test_a_record_that_lost_its_scheduled_workflow_is_made_anew(bench):
    bench.apply()
    (run,) = bench.port.list()
    bench.port.by_hand(run.id, backed=False)
    (change,) = bench.plan().changes
    assert change.action is Action.RECREATE and "reinstalled" in change.why[0]
    bench.apply()
    assert bench.plan().in_sync and run.id not in {r.id for r in bench.port.enabled(KEY)}


def test_a_version_pinned_under_an_older_kfp_is_replaced(bench):
    bench.port.server_ = Server("2.16.1", "UTC")
    bench.apply()
    bench.port.server_ = Server("2.17.0", "UTC")
    (change,) = bench.plan().changes
    assert change.why == ("pinned under KFP 2.16.1, the server is 2.17.0",)
    bench.apply()
    assert bench.plan().in_sync and len(bench.port.enabled(KEY)) == 1


def test_an_apply_keeps_a_pause_until_it_ends(bench):
    bench.apply()
    until = BEGIN + 3600
    pause = Pause("ann", "holiday", BEGIN, until)
    apply_module.pause(bench.port, SOURCE.repository, KEY, pause, "test")
    assert bench.port.enabled(KEY) == [] and bench.plan().in_sync
    bench.write(files.entry(parameters="{trials: 5}"))
    bench.apply()
    assert bench.port.enabled(KEY) == [] and bench.plan().in_sync
    bench.time.pass_(3601)
    assert bench.actions() == {KEY: Action.ENABLE}
    bench.apply()
    assert len(bench.port.enabled(KEY)) == 1


def test_a_plan_is_refused_when_files_or_records_have_moved(bench):
    fingerprint = bench.plan().fingerprint
    bench.write(files.entry(enabled="false"))
    with pytest.raises(PlanOutdated):
        bench.apply(fingerprint=fingerprint)
    assert bench.port.writes == []
    bench.apply(fingerprint=bench.plan().fingerprint)
    moved = bench.plan().fingerprint
    bench.port.by_hand(bench.port.list()[0].id, enabled=True)
    with pytest.raises(PlanOutdated):
        bench.apply(fingerprint=moved)


def test_a_controller_in_another_zone_is_refused_and_an_unread_one_is_said(bench):
    bench.port.server_ = Server("2.17.0", "Europe/Berlin")
    with pytest.raises(WrongZone) as raised:
        bench.apply()
    assert raised.value.exit_code == 3 and bench.port.writes == []
    bench.port.server_ = Server("2.17.0", None)
    assert any("time zone cannot be read" in note for note in bench.plan().notes)


def test_a_record_that_differs_from_what_was_sent_is_not_enabled(bench):
    class Lossy(FakeSchedules):
        def list(self) -> list[RecurringRun]:
            return [replace(r, spec=replace(r.spec, max_concurrency=9)) for r in super().list()]

    bench.port = Lossy(bench.time)
    (applied,) = bench.apply()
    assert applied.outcome is Outcome.FAILED and isinstance(applied.error, RecordDiffers)
    assert bench.port.enabled(KEY) == []


def test_slots_that_enabling_fires_at_once_are_in_the_plan(bench):
    trigger = '{cron: "0 0 * * * *", catch_up: all, start_at: "2026-11-18T00:30:00Z"}'
    bench.write(files.entry(trigger=trigger))
    (change,) = bench.plan().changes
    assert change.at_once == 11  # 01:00 to 11:00; it is 11:08


def test_a_plan_of_200_schedules_takes_less_than_two_seconds(bench):
    import time

    entries = [
        files.entry(f"s{n}", trigger=f'{{cron: "0 {n % 60} {n % 24} * * *"}}') for n in range(200)
    ]
    bench.write(*entries)
    begun = time.process_time()
    bench.write(*entries)
    assert len(bench.plan().changes) == 200
    took = time.process_time() - begun
    bench.apply()
    assert bench.apply() == []
    assert took < 2, took
