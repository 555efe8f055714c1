"""When a fault counts as solved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from learning import lab
from learning.lab import MAX_WRONG_CAUSES, RepairState, Session

START = datetime(2026, 3, 2, tzinfo=UTC)
NOW = START + timedelta(minutes=7)
SESSION = Session("s1", lab.seal("failed-step", "s1"), START.isoformat(), cause="alias-moved")
GOOD = RepairState(True, "fine")


def solved(session: Session = SESSION, home: str = "s1", state: RepairState = GOOD) -> bool:
    return lab.judge(session, home_session=home, state=state, now=NOW).solved


def test_both_are_needed():
    assert solved()
    assert not solved(replace(SESSION, cause=""))
    assert not solved(state=RepairState(False, "broken"))


def test_another_home_is_not_repaired():
    assert not solved(home="")
    assert not solved(home="s2")


def test_guessing_is_no_diagnosis():
    assert solved(replace(SESSION, wrong_causes=MAX_WRONG_CAUSES))
    assert not solved(replace(SESSION, wrong_causes=MAX_WRONG_CAUSES + 1))


def test_the_clock_stops_when_it_is_solved():
    result = lab.judge(SESSION, home_session="s1", state=GOOD, now=NOW)
    assert result.elapsed_s == 420
    stopped = replace(SESSION, solved_at=(START + timedelta(seconds=60)).isoformat())
    assert lab.judge(stopped, home_session="s1", state=GOOD, now=NOW).elapsed_s == 60


def test_the_name_is_sealed():
    assert lab.unseal(SESSION, ["other", "failed-step"]) == "failed-step"
    assert lab.unseal(SESSION, ["other"]) == ""


@pytest.mark.parametrize("word", ["registry lost", " Registry_Lost ", "registry-lost"])
def test_words_are_forgiven_their_spelling(word):
    assert lab.normalised(word) in lab.CAUSES
