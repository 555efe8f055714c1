"""Cron expressions: the same fire times as robfig/cron 1.2.0, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_ctl.schedules import cron

GOLDEN = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "data/cron/robfig/fires.json").read_text().splitlines()
]
ACCEPTED = [case for case in GOLDEN if not case.get("refused")]
YEAR_S = 366 * cron.DAY_S
OURS_TO_REFUSE = {"@yearly", "0 0 0 30 2 *", "0 0 0 31 2,4,6 *"}


def test_200_expressions_fire_when_robfig_fires():
    accepted = [case for case in ACCEPTED if case["expression"] not in OURS_TO_REFUSE]
    assert len(accepted) >= 200
    for case in accepted:
        parsed, at, found = cron.parse(case["expression"]), case["after"], []
        while len(found) < len(case["fires"]):
            at = parsed.after(at)
            assert at is not None, case["expression"]
            found.append(at)
        assert found == case["fires"], case["expression"]


def test_what_robfig_refuses_is_refused():
    refused = [case["expression"] for case in GOLDEN if case.get("refused")]
    assert len(refused) >= 15
    for expression in [*refused, *OURS_TO_REFUSE]:
        with pytest.raises(cron.BadCron):
            cron.parse(expression)


@pytest.mark.parametrize(
    ("expression", "said", "suggestion"),
    [
        ("0 6 * * 1", "five fields", "0 0 6 * * 1"),
        ("0 6 * * 7", "five fields", "0 0 6 * * 0"),
        ("0 0 6 * * 7", "Sunday is 0", "0 0 6 * * 0"),
        ("0 0 6 L * *", "L, W and #", ""),
        ("0 0 6 15W * *", "L, W and #", ""),
        ("0 0 6 * * MON#2", "L, W and #", ""),
        ("0 0 6 * * 5L", "L, W and #", ""),
        ("0 0 6 * * SAT-MON", "wraps around", "0 0 6 * * SAT,0-MON"),
        ("0 0 22-2 * * *", "wraps around", "0 0 22-23,0-2 * * *"),
        ("0 1,,2 * * * *", "empty item", "0 1,2 * * * *"),
        ("0 *-5 * * * *", "begins with \\*", "0 0-5 * * * *"),
        ("0 */0 * * * *", "a step of 0", "0 * * * * *"),
        ("CRON_TZ=Europe/Berlin 0 0 6 * * *", "UTC", "0 0 6 * * *"),
        ("@every 1h30m", "an interval", ""),
        ("@yearly", "is not one of", "0 0 0 1 1 *"),
        ("@reboot", "is not one of", ""),
        ("0 0 0 30 2 *", "does not come", ""),
        ("0 0 0 1 1 */7", "within five years", ""),
        ("0 0 0 ١ * *", "not understood", ""),
        ("", "0 fields", ""),
        ("0 0 +5 * * *", "not understood", ""),
        ("0 0 25 * * *", "25 is not from 0 to 23", ""),
    ],
)
def test_what_only_one_of_the_readers_understands_is_refused(expression, said, suggestion):
    with pytest.raises(cron.BadCron, match=said) as raised:
        cron.parse(expression)
    assert raised.value.suggestion == suggestion
    if suggestion:
        cron.parse(suggestion)


def test_every_names_its_interval():
    with pytest.raises(cron.BadCron) as raised:
        cron.parse("@every 1h30m")
    assert raised.value.interval_s == 5400


@pytest.mark.parametrize(("name", "fields"), cron.MACROS.items())
def test_names_become_six_fields(name, fields):
    assert cron.parse(name).text == fields


def _field(low: int, high: int):
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda p: f"{min(p)}-{max(p)}")
    step = st.integers(1, high).map(lambda n: f"*/{n}")
    several = st.lists(number, min_size=1, max_size=4, unique=True).map(
        lambda numbers: ",".join(map(str, numbers))
    )
    return st.one_of(st.just("*"), several, span, step)


expressions = st.tuples(
    _field(0, 59), _field(0, 59), _field(0, 23), _field(1, 28), _field(1, 12), _field(0, 6)
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(expressions, st.integers(1_790_000_000, 1_850_000_000))
def test_a_second_reader_finds_the_same_times(expression, moment):
    try:
        parsed = cron.parse(expression)
    except cron.BadCron:
        return
    other = CronSim(expression, datetime.fromtimestamp(moment, UTC))
    at = moment
    for _ in range(20):
        at = parsed.after(at)
        if at is None or at > moment + YEAR_S:
            return
        assert at == int(next(other).timestamp())


@settings(max_examples=150, deadline=None)
@given(expressions, st.integers(1_790_000_000, 1_850_000_000))
def test_until_is_the_inverse_of_after(expression, moment):
    try:
        parsed = cron.parse(expression)
    except cron.BadCron:
        return
    first = parsed.after(moment)
    second = parsed.after(first) if first else None
    if first is None or second is None:
        return
    assert parsed.until(first) == parsed.until(second - 1) == first
    assert parsed.until(second) == second
    assert parsed.shortest_gap_s() <= second - first


def test_1000_expressions_are_parsed_in_a_second():
    """The check for dates that do not come looks at fourteen kinds of year."""
    import time

    begun = time.process_time()
    for minute in range(50):
        for day in range(1, 21):
            cron.parse(f"0 {minute} 6 {day} * *")
    assert time.process_time() - begun < 2
