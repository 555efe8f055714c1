"""Labels of requests: the week in which they were asked, once it is over and ingested."""

from __future__ import annotations

from datetime import timedelta

import pytest

from platform_ctl.errors import MissingTable
from platform_ctl.recipe.truth import Truth
from recipes.train_deploy.labels import labels
from recipes.train_deploy.weeks import from_epoch
from tests.recipes.train_deploy.histories import DAY_S, MONDAY_S, WEEK_S, data_access, write_commits

START = from_epoch(MONDAY_S)
LATER = START + timedelta(weeks=10)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    found = data_access(tmp_path_factory.mktemp("labels"))
    commits = [
        ("busy", "ann", at, at)
        for week in range(4)
        for n in range(week + 1)
        for at in [MONDAY_S + week * WEEK_S + n * DAY_S]
    ]
    write_commits(found, commits, until=MONDAY_S + 3 * WEEK_S + 2 * DAY_S)
    return found


def test_labels_are_counts_of_the_week_that_was_asked_in(data):
    asked = [("busy", START), ("busy", START + timedelta(days=13, hours=23))]
    assert labels(data, asked, LATER) == [
        Truth(f"{START:%Y-%m-%d}", 1.0),
        Truth(f"{START + timedelta(weeks=1):%Y-%m-%d}", 2.0),
    ]


@pytest.mark.parametrize("repo", ["busy", "unknown"])
def test_a_week_that_was_not_ingested_to_its_end_has_none(data, repo):
    assert labels(data, [(repo, START + timedelta(weeks=3))], LATER) == [None]


def test_while_the_week_goes_on_nothing_is_read(tmp_path):
    empty = data_access(tmp_path / "home")
    asked = [("busy", START + timedelta(days=3))]
    assert labels(empty, asked, START + timedelta(days=6)) == [None]
    with pytest.raises(MissingTable):
        labels(empty, asked, LATER)
