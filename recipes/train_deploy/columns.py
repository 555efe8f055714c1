"""What the recipe's columns are made from, for lineage: read off the features' own expressions."""

from __future__ import annotations

import re
from typing import Literal

from platform_ctl.recipe.recipe import Column, DatasetColumns
from recipes.train_deploy.features.definitions import FEATURES, Feature
from recipes.train_deploy.names import COMMITS, FEATURE_SERVICE, FEATURE_VIEW
from recipes.train_deploy.rows import BASELINES

ROWS, EVALUATION = "rows", "evaluation"

_WEEKLY = {
    "commits": ("committed_at",),
    "weekend_commits": ("committed_at",),
    "late_week_commits": ("committed_at",),
    "top_author_commits": ("committed_at", "author"),
    "active_days": ("committed_at",),
    "files": ("files_changed",),
    "lines": ("insertions", "deletions"),
    "authors": ("author",),
    "week_start": ("committed_at",),
    "age_weeks": ("committed_at",),
}
"""Word of a feature's expression -> columns of the commits that it stands for (``weekly.py``);
counting commits is counting their times."""
_WEEKS = (
    (COMMITS, "repo", "GROUP_BY"),
    (COMMITS, "committed_at", "GROUP_BY"),
    (COMMITS, "available_at", "FILTER"),
)
"""A line is a repository's week, of the commits that were known by then."""
_KEY = ("repo", "event_timestamp")
_How = Literal["IDENTITY", "TRANSFORMATION", "AGGREGATION"]
_ROW: dict[str, tuple[str, tuple[str, ...], _How]] = {
    "row": ("string", ("repo", "committed_at", "available_at"), "TRANSFORMATION"),
    "repo": ("string", ("repo",), "IDENTITY"),
    "event_timestamp": ("timestamptz", ("committed_at", "available_at"), "AGGREGATION"),
    "week_start": ("timestamptz", ("committed_at",), "TRANSFORMATION"),
    "split": ("string", ("committed_at",), "TRANSFORMATION"),
    "label": ("double", ("committed_at",), "AGGREGATION"),
    "naive_last_week": ("double", ("committed_at",), "AGGREGATION"),
    "naive_mean_4w": ("double", ("committed_at",), "AGGREGATION"),
    "naive_log_ses": ("double", ("committed_at",), "AGGREGATION"),
    "scale": ("double", ("committed_at",), "AGGREGATION"),
    "dormant": ("boolean", ("committed_at",), "AGGREGATION"),
    "history_weeks": ("int", ("committed_at",), "AGGREGATION"),
}
"""Column of a training row that is no feature -> type, columns of the commits, how."""
_COPIED = ("row", "label")


def columns() -> dict[str, DatasetColumns]:
    """By dataset: feature view and service, training rows, scored golden rows."""
    served = tuple(_copy(FEATURE_VIEW, f.name, "float", f.doc) for f in FEATURES)
    return {
        FEATURE_VIEW: DatasetColumns((*map(_of_commits, _KEY), *map(_feature, FEATURES)), _WEEKS),
        FEATURE_SERVICE: DatasetColumns(served),
        ROWS: DatasetColumns(
            (*(_of_commits(name) for name in _ROW), *served),
            (*_WEEKS, *((FEATURE_VIEW, key, "JOIN") for key in _KEY)),
        ),
        EVALUATION: DatasetColumns(
            (
                *(_copy(ROWS, name, _ROW[name][0]) for name in _COPIED),
                Column("prediction", tuple((ROWS, f.name) for f in FEATURES), type="double"),
                *(_loss(name, column) for name, column in BASELINES.items()),
            ),
            ((ROWS, "split", "FILTER"),),
        ),
    }


def _loss(name: str, column: str) -> Column:
    read = (column, "label", "scale")
    return Column(f"loss:{name}", tuple((ROWS, one) for one in read), type="double")


def sources_of(feature: Feature) -> tuple[str, ...]:
    """Columns of the commits that a feature's expression reads."""
    words = dict.fromkeys(re.findall(r"[a-z_]+", re.sub(r"'[^']*'", "", feature.sql)))
    read = (column for word in words for column in _WEEKLY.get(word, ()))
    return tuple(dict.fromkeys(read))


def _feature(feature: Feature) -> Column:
    return Column(
        feature.name,
        tuple((COMMITS, name) for name in sources_of(feature)),
        "AGGREGATION",
        "float",
        feature.doc,
    )


def _of_commits(name: str) -> Column:
    kind, sources, how = _ROW[name]
    return Column(name, tuple((COMMITS, column) for column in sources), how, kind)


def _copy(dataset: str, name: str, kind: str, doc: str = "") -> Column:
    return Column(name, ((dataset, name),), "IDENTITY", kind, doc)
