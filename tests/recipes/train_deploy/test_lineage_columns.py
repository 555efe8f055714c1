"""Column lineage follows the definitions: nothing is forgotten, nothing is made up."""

from __future__ import annotations

import re

import pytest

from recipes.train_deploy import rows
from recipes.train_deploy.columns import columns, sources_of
from recipes.train_deploy.features import FEATURE_NAMES, FEATURES, weekly
from recipes.train_deploy.features.definitions import Feature
from recipes.train_deploy.recipe import RECIPE

TOLD = columns()


def test_every_dataset_of_the_flow_is_told() -> None:
    assert set(TOLD) == {*RECIPE.feature_views, RECIPE.feature_service, "rows", "evaluation"}


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.name)
def test_a_feature_comes_from_columns_that_are_read(feature: Feature) -> None:
    read = sources_of(feature)
    assert read and set(read) <= set(weekly._COLUMNS)


def test_each_word_of_the_weekly_table_has_its_columns() -> None:
    made_up = Feature("x", " + ".join((*weekly._COUNTS, "len(authors)")), "")
    assert set(sources_of(made_up)) == {
        "committed_at", "author", "files_changed", "insertions", "deletions",
    }  # fmt: skip
    for word in weekly._COUNTS:
        assert sources_of(Feature("x", word, "")), word


def test_words_in_quotes_are_no_columns() -> None:
    assert sources_of(Feature("x", "CASE WHEN strftime(ago, 'authors') THEN 1 END", "")) == ()


def test_rows_have_the_columns_that_training_reads() -> None:
    named = {c.name for c in TOLD["rows"].columns}
    assert named == {*rows._COLUMNS, *FEATURE_NAMES}


def test_a_source_is_a_column_of_what_it_names() -> None:
    has = {name: {c.name for c in told.columns} for name, told in TOLD.items()}
    has[RECIPE.table] = set(weekly._COLUMNS)
    for told in TOLD.values():
        for dataset, column in [s for c in told.columns for s in c.sources]:
            assert column in has[dataset], (dataset, column)
        for dataset, column, how in told.decided_by:
            assert column in has[dataset] and re.fullmatch("[A-Z_]+", how)
