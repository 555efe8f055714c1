"""Features against brute force: any commits, any moments of becoming known."""

from __future__ import annotations

import math
import random
from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.train_deploy import audit
from recipes.train_deploy.features import FEATURE_NAMES, LOG_FEATURES, build, weekly
from recipes.train_deploy.tables import RepoObservation
from recipes.train_deploy.weeks import from_epoch, monday_s
from tests.recipes.train_deploy.histories import DAY_S, MONDAY_S, WEEK_S

_WEEKS = 70

commits = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["ada", "bob", "eve"]),
        st.integers(0, _WEEKS * WEEK_S),
        st.one_of(st.just(0), st.just(0), st.integers(0, 20 * WEEK_S)),
        st.integers(0, 900),
    ),
    min_size=1,
    max_size=60,
)


def _compute(history, grid):
    moment = pa.timestamp("us", "UTC")
    source = pa.table(
        {
            "repo": [c[0] for c in history],
            "author": [c[1] for c in history],
            "committed_at": pa.array([c[2] * 1_000_000 for c in history], moment),
            "available_at": pa.array([c[3] * 1_000_000 for c in history], moment),
            "files_changed": pa.array([1] * len(history), pa.int32()),
            "insertions": pa.array([c[4] for c in history], pa.int32()),
            "deletions": pa.array([0] * len(history), pa.int32()),
        }
    )
    con = weekly.connect()
    weekly.fold_reader(con, source.to_reader())
    columns = {
        "repo": pa.array([g[0] for g in grid], pa.string()),
        "week": pa.array([weekly.week_number(g[1]) for g in grid], pa.int64()),
        "event_us": pa.array([g[2] * 1_000_000 for g in grid], pa.int64()),
    }
    rows = pa.concat_tables(list(weekly.compute(con, pa.table(columns)))).to_pylist()
    con.close()
    return rows


@settings(max_examples=25, deadline=None)
@given(commits, st.lists(st.integers(0, 6 * DAY_S), min_size=3, max_size=3))
def test_features_are_what_brute_force_gives(drawn, delays):
    history = [
        (repo, author, MONDAY_S + at, MONDAY_S + at + delay, lines)
        for repo, author, at, delay, lines in drawn
    ]
    weeks = [MONDAY_S + n * WEEK_S for n in (1, 2, 9, 30, 60, _WEEKS)]
    grid = [(repo, w, w) for repo in ("a", "b") for w in weeks]
    late = [(repo, w, w + d) for repo in ("a", "b") for w, d in zip(weeks, delays, strict=False)]
    rows = _compute(history, grid + [g for g in late if g not in grid])
    by_repo = {
        repo: [
            audit._Commit("", c[1], c[2] * 1_000_000, c[3] * 1_000_000, 1, c[4])
            for c in history
            if c[0] == repo
        ]
        for repo in ("a", "b")
    }
    asked = [(r, audit._known(by_repo[r["repo"]], r)) for r in rows]
    assert all(known for _, known in asked), "rows of which nothing was known are left out"
    expected = audit._expressions([audit._lines(by_repo[r["repo"]], r) for r, _ in asked])
    for row, wanted in zip(rows, expected, strict=True):
        for name in FEATURE_NAMES:
            assert math.isclose(row[name], wanted[name], rel_tol=1e-5, abs_tol=1e-5), (name, row)


def test_a_feature_row_by_hand():
    history = [
        ("a", "ada", MONDAY_S + 3600, MONDAY_S + 3600, 10),
        ("a", "bob", MONDAY_S + 5 * DAY_S, MONDAY_S + 5 * DAY_S, 20),
        ("a", "eve", MONDAY_S + 6 * DAY_S, MONDAY_S + 9 * DAY_S, 40),
    ]
    one, two = MONDAY_S + WEEK_S, MONDAY_S + 2 * WEEK_S
    first, second = _compute(history, [("a", one, one), ("a", two, two)])
    assert (first["commits_1w"], first["authors_1w"], first["lines_1w"]) == (2, 2, 30)
    assert first["weekend_share_13w"] == 0.5
    assert (second["commits_1w"], second["commits_2w"], second["authors_2w"]) == (0, 3, 3)
    assert second["weeks_since_commit"] == 1
    assert second["age_weeks"] == 2


def test_a_row_is_as_late_as_the_ingest_that_completed_its_week():
    week = weekly.week_number(MONDAY_S)
    at = MONDAY_S + 10 * WEEK_S + 5 * 3600
    line = [
        RepoObservation(head="", at=0, until=MONDAY_S + 3 * DAY_S, last=0),
        RepoObservation(head="", at=at, until=at - 60, last=0),
        RepoObservation(head="", at=at + WEEK_S, until=at + WEEK_S - 60, last=0),
    ]
    assert build.event_times(line, week - 1) == [
        (week - 1, MONDAY_S - WEEK_S),
        (week, MONDAY_S),
        (week + 10, at),
        (week + 11, at + WEEK_S),
    ]


@pytest.mark.parametrize("epoch_s", [0, MONDAY_S - 1, MONDAY_S, MONDAY_S + WEEK_S - 1])
def test_weeks_start_on_monday(epoch_s):
    start = from_epoch(monday_s(epoch_s))
    assert (start.weekday(), start.hour) == (0, 0)
    assert timedelta(0) <= from_epoch(epoch_s) - start < timedelta(days=7)


def test_names_are_unique_and_known():
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)
    assert set(LOG_FEATURES) < set(FEATURE_NAMES)


def test_the_order_of_commits_moves_no_bit():
    """Training rows that are the same bytes are what lets search and fit come from the cache."""
    rng = random.Random(0)
    history = [
        (repo, rng.choice(["ada", "bob"]), MONDAY_S + week * WEEK_S + rng.randrange(WEEK_S), 0, 9)
        for repo in "abcdefgh"
        for week in range(400)
        for _ in range(rng.randrange(9))
    ]
    grid = [
        (r, MONDAY_S + w * WEEK_S, MONDAY_S + w * WEEK_S) for r in "abcdefgh" for w in range(400)
    ]
    first = _compute(history, grid)
    rng.shuffle(history)
    assert _compute(history, grid) == first
