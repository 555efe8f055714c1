"""Slots: the answers of KFP 2.17's own functions, and properties of a year of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_ctl.schedules import cron, due
from platform_ctl.schedules.due import CatchUp, Timing

ANSWERS = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "data/cron/kfp/next.json").read_text().splitlines()
]


@pytest.mark.parametrize("case", ANSWERS, ids=range(len(ANSWERS)))
def test_kfp_answers_the_same(case):
    timing = Timing(
        cron=case.get("cron", ""),
        interval_s=case.get("interval_s", 0),
        start_at=case["start_at"],
        end_at=case["end_at"],
        catch_up=CatchUp.LATEST if case["no_catchup"] else CatchUp.ALL,
    )
    moments = {key: case[key] for key in ("last", "created_at", "now")}
    assert due.next_slot(timing, **moments) == case["next"]
    slot, held = due.due_slot(
        timing, **moments, active=case["active"], limit=case["max_concurrency"]
    )
    assert (slot is not None and not held and case["enabled"]) == case["runs"]


class _Loop:
    """KFP's functions as they loop: one slot after the other, no jumps. The slow model."""

    def __init__(self, timing: Timing, created_at: int) -> None:
        self.timing, self.created_at, self.last = timing, created_at, None
        self.fired: list[int] = []

    def look(self, now: int, *, full: bool) -> None:
        slot = self._next(now)
        if slot is not None and slot <= now and not full:
            self.fired.append(slot)
            self.last = slot

    def _next(self, now: int) -> int | None:
        timing = self.timing
        begin = self.last if self.last is not None else timing.start_at or self.created_at
        parsed = cron.parse(timing.cron)
        slot = parsed.after(max(begin, timing.start_at or 0))
        if slot is None or (timing.end_at and slot > timing.end_at):
            return None
        if timing.catch_up is CatchUp.LATEST:
            while (later := parsed.after(slot)) is not None and later <= now:
                if timing.end_at and later > timing.end_at:
                    break
                slot = later
        return slot


looks = st.lists(
    st.tuples(st.integers(1, 40_000), st.booleans()), min_size=1, max_size=60
)  # seconds between two looks, and whether max_concurrency is reached


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["0 0 * * * *", "0 30 6 * * 1-5", "0 */20 * * * *", "30 15 3,15 * * *"]),
    st.sampled_from(CatchUp),
    st.none() | st.integers(0, 500_000),
    st.none() | st.integers(500_000, 900_000),
    looks,
)
def test_catch_up_and_holding_equal_the_loop(text, catch_up, start, end, looks):
    created = 1_795_000_000
    timing = Timing(
        text,
        start_at=None if start is None else created + start,
        end_at=None if end is None else created + end,
        catch_up=catch_up,
    )
    model, now, last, fired = _Loop(timing, created), created, None, []
    for wait, full in looks:
        now += wait
        model.look(now, full=full)
        slot, held = due.due_slot(
            timing, last=last, created_at=created, now=now, active=int(full), limit=1
        )
        if slot is not None and not held:
            fired.append(slot)
            last = slot
    assert fired == model.fired
    assert len(set(fired)) == len(fired)


@pytest.mark.parametrize("text", ["0 0 6 * * MON", "0 15 */6 * * *", "0 0 0 1,15 * ?"])
def test_a_year_of_slots_is_fired_once_each_and_in_order(text):
    begin, timing = 1_795_000_000, Timing(text, catch_up=CatchUp.ALL)
    end = begin + 365 * cron.DAY_S
    expected, at = [], cron.parse(text).after(begin)
    while at <= end:
        expected.append(at)
        at = cron.parse(text).after(at)
    assert due.between(timing, after=begin, until=end, limit=10_000) == expected
    slots = due.upcoming(timing, last=None, created_at=begin, now=begin)
    assert [next(slots) for _ in expected] == expected


def test_an_interval_fires_first_one_interval_after_its_start():
    timing = Timing(interval_s=600, start_at=10_000)
    assert due.next_slot(timing, last=None, created_at=1_000, now=1_000) == 10_600


def test_slots_missed_while_disabled_count():
    timing = Timing("0 0 * * * *", catch_up=CatchUp.ALL)
    begin = 1_795_003_200 - 1_795_003_200 % 3600
    moments = {"last": begin, "created_at": begin, "now": begin + 5 * 3600}
    assert due.at_once(timing, **moments, limit=100) == 5
    latest = Timing("0 0 * * * *")
    assert due.at_once(latest, **moments, limit=100) == 1
    assert due.next_slot(latest, **moments) == begin + 5 * 3600


def test_the_distance_to_the_slots_around():
    timing = Timing("0 */2 * * * *")
    on_slot = 1_795_000_080
    assert on_slot % 120 == 0
    assert due.nearest(timing, last=None, created_at=0, now=on_slot + 60) == (60, 60)
    interval = Timing(interval_s=3600)
    assert due.nearest(interval, last=10_000, created_at=0, now=10_900) == (900, 2700)
