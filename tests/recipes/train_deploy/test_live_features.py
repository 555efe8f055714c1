"""The online store beside the feature table: equal, skewed, behind."""

from __future__ import annotations

import pandas as pd
import pytest

from platform_ctl.recipe.skew import judge_skew
from platform_ctl.recipe.verdict import Verdict
from recipes.train_deploy import live, names, tables
from recipes.train_deploy.features import FEATURE_NAMES
from recipes.train_deploy.features import store as feast_store
from tests.recipes.train_deploy.histories import DAY_S, MONDAY_S, WEEK_S, data_access, write_commits

WEEKS = 30


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    found = data_access(tmp_path_factory.mktemp("live"))
    commits = [
        (repo, f"author{n}", at, at)
        for repo, rate in (("busy", 5), ("calm", 2))
        for week in range(WEEKS)
        for n in range(rate + week % 3)
        for at in [MONDAY_S + week * WEEK_S + n * DAY_S % WEEK_S + 7200]
    ]
    write_commits(found, commits, until=MONDAY_S + WEEKS * WEEK_S)
    return found


@pytest.fixture(autouse=True)
def fresh(data):
    live.refresh(data)


def write_online(data, repo: str, *, weeks_ago: int = 0, **changes: float) -> None:
    """Put a row of the feature table into the online store, with some values changed."""
    table = tables.load(data, names.FEATURES).scan().to_arrow().to_pandas()
    rows = table[table.repo == repo].sort_values("event_timestamp")
    row = rows.iloc[[-1 - weeks_ago]].assign(**changes)
    store = feast_store.open_store(data)
    store.write_to_online_store(names.FEATURE_VIEW, pd.DataFrame(row))


def judged(data):
    return judge_skew(live.rows(data, 10), FEATURE_NAMES)


def test_what_was_materialised_is_what_training_sees(data):
    assert judged(data).verdict is Verdict.SUCCESSFUL
    assert judged(data).entities == 2


def test_planted_skew_is_named(data):
    write_online(data, "calm", commits_4w=99.0)
    found = judged(data)
    assert found.verdict is Verdict.FAILED
    assert "feature commits_4w of calm is 99 online and" in found.reason
    assert "(1 of 2 entities)" in found.reason


def test_a_feature_in_another_unit_is_named_with_how_many_it_meets(data):
    """A transformation that serving does differently: here thousands instead of units."""
    rows = {row.entity: row.online for row in live.rows(data, 10)}
    for repo in ("busy", "calm"):
        write_online(data, repo, commits_4w=rows[repo]["commits_4w"] / 1000)
    found = judged(data)
    assert found.verdict is Verdict.FAILED
    assert "feature commits_4w of busy" in found.reason and "(2 of 2 entities)" in found.reason


def test_the_values_of_an_earlier_week_under_the_time_of_this_one_are_skew(data):
    """An off-by-one window: the store looks fresh, and its values are not."""
    (newest,) = (row.newest_at for row in live.rows(data, 10) if row.entity == "busy")
    write_online(data, "busy", weeks_ago=1, event_timestamp=pd.Timestamp(newest))
    found = judged(data)
    assert found.verdict is Verdict.FAILED
    assert "of busy is" in found.reason and "more features (1 of 2 entities)" in found.reason


def test_an_older_row_is_behind_and_a_refresh_helps(data):
    write_online(data, "busy", weeks_ago=2)
    found = judged(data)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith("the online store is behind for 1 of 2 entities: busy is from")
    live.refresh(data)
    assert judged(data).verdict is Verdict.SUCCESSFUL


def test_a_repository_that_the_store_does_not_know_is_behind(data, tmp_path):
    assert all(r.online_at for r in live.rows(data, 10))
    elsewhere = data.__class__(**{**vars(data), "feast_dir": tmp_path / "feast"})
    found = judged(elsewhere)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "behind for 2 of 2" in found.reason and "not there" in found.reason
