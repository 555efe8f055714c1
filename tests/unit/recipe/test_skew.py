"""Skew is named, a store that is behind is not blamed on the model."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from platform_ctl.recipe.skew import LiveRow, judge_skew
from platform_ctl.recipe.verdict import Verdict

NOW = datetime(2024, 1, 8, tzinfo=UTC)
BEFORE = NOW - timedelta(weeks=1)
TRUE = {"a": 1000.0, "b": 2.0}


def row(entity="x", online_at=NOW, online=TRUE, offline=TRUE) -> LiveRow:
    return LiveRow(entity, NOW, online_at, online, offline)


def test_equal_up_to_float32_is_no_skew():
    found = judge_skew([row(online={"a": 1000.0001, "b": 2.0})], ("a", "b"))
    assert found.verdict is Verdict.SUCCESSFUL
    assert found.reason == "2 features of 1 entities are the same online and offline"


@pytest.mark.parametrize("online", [{"a": 1000.0, "b": 2.1}, {"a": 1000.0}, {"b": math.nan}])
def test_a_feature_that_differs_is_named(online):
    found = judge_skew([row("fine"), row(online={"a": 1000.0} | online)], ("a", "b"))
    assert found.verdict is Verdict.FAILED
    assert "feature b of x is" in found.reason and "(1 of 2 entities)" in found.reason


def test_features_that_the_model_does_not_take_do_not_count():
    assert judge_skew([row(online={"a": 1000.0, "b": 9.0})], ("a",)).verdict is Verdict.SUCCESSFUL


@pytest.mark.parametrize(
    "late", [row(online_at=BEFORE), row(online_at=None, online={}, offline={})]
)
def test_behind_is_not_skewed(late):
    found = judge_skew([row("fine"), late], ("a", "b"))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith("the online store is behind for 1 of 2 entities: x is ")


def test_behind_and_wrong_is_wrong():
    late = row(online_at=BEFORE, online={"a": 1.0, "b": 2.0})
    assert judge_skew([late], ("a", "b")).verdict is Verdict.FAILED


def test_what_cannot_be_compared_is_not_passed():
    ahead = row(online_at=NOW + timedelta(days=1), offline={})
    assert judge_skew([], ("a",)).verdict is Verdict.INCONCLUSIVE
    assert "a time that training does not know" in judge_skew([ahead], ("a",)).reason
