"""Which sentences of a text the records bear out, and what counts as built."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from learning.exit_test_rules import (
    BuildRun,
    TextFacts,
    check_features,
    check_first_run,
    check_rerun,
    read,
)
from platform_ctl.runs.cache.values import CacheDecision

RUN = TextFacts(
    id="1a2b3c4d-0000-4000-8000-000000000000",
    state="SUCCEEDED",
    tasks={"resolve": "SUCCEEDED", "tune": "CACHED", "gate": "CACHED", "register": "SUCCEEDED"},
    verdicts={"gate": "successful"},
)
STEPS = ["resolve", "tune", "gate", "register"]


def facts(sentence: str) -> list[bool]:
    """Truth of the claims of a sentence, after the run was cited."""
    _, *claims = read(f"I mean run 1a2b3c4d. {sentence}", [RUN], STEPS).claims
    return [c.true for c in claims]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("In it `tune` was cached.", [True]),
        ("`tune` and `gate` were served from the cache.", [True, True]),
        ("`tune` was executed.", [False]),
        ("`resolve` was executed, as always.", [True]),
        ("The verdict of `gate` was successful.", [True]),
        ("The verdict of `gate` was inconclusive.", [False]),
        ("`register` was skipped.", [False]),
        ("If `tune` failed, nothing would follow.", []),
        ("`tune` was cached while `register` was executed.", []),
        ("The search is a search.", []),
    ],
)
def test_a_sentence_is_held_against_the_run(sentence, expected):
    assert facts(sentence) == expected


def test_a_run_that_nobody_has_is_no_run():
    reading = read("Look at run deadbeef. There `tune` was cached.", [RUN], STEPS)
    assert [c.true for c in reading.claims] == [False]
    assert not reading.ok


def test_length_steps_and_number_of_facts():
    body = (
        "In run 1a2b3c4d `resolve` was executed. `tune` was cached. `gate` was cached. "
        "The verdict of `gate` was successful. `register` was executed. "
    )
    reading = read(body + "word " * 570, [RUN], STEPS)
    assert reading.ok, reading.checks
    assert not read(body, [RUN], STEPS).ok
    assert not read(body + "word " * 900, [RUN], STEPS).ok
    assert read(body.replace("register", "x"), [RUN], STEPS).steps_missing == ("register",)


def run(run_id: str, **decisions: str) -> BuildRun:
    now = datetime.now(UTC)
    return BuildRun(
        run_id,
        [
            CacheDecision(
                run_id=run_id, task=t, decision=d, reason="", decided_at=now, key="", fingerprint=""
            )
            for t, d in decisions.items()
        ],
    )


def test_a_feature_is_added_and_none_is_lost():
    assert check_features(["a"], ["a", "b"]).holds
    assert not check_features(["a"], ["a"]).holds
    assert not check_features(["a"], ["b"]).holds


def test_hits_where_expected_and_only_there():
    first = run("a", resolve="BYPASS", extract="MISS", train="MISS")
    assert check_first_run(first).holds
    assert not check_first_run(run("a", extract="MISS", train="HIT")).holds
    assert check_rerun(first, run("b", resolve="BYPASS", extract="HIT", train="HIT")).holds
    assert not check_rerun(first, run("b", resolve="BYPASS", extract="HIT", train="MISS")).holds
    assert not check_rerun(first, run("b", resolve="HIT", extract="HIT", train="HIT")).holds
    assert not check_rerun(first, run("b", resolve="BYPASS")).holds
    assert not check_rerun(first, None).holds
