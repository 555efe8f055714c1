"""Point-in-time rows of every repository and week."""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_ctl import targets
from recipes.train_deploy.features import rows as feature_rows
from recipes.train_deploy.recipe import RECIPE

if TYPE_CHECKING:
    from kfp import dsl


def run(snapshot_id: str, as_of: str, golden_digest: str, rows: dsl.Dataset) -> tuple[str, str]:
    """-> name of the feature service, one line about the rows."""
    access = targets.data_access(targets.current_settings())
    summary = feature_rows.extract_rows(access, snapshot_id, as_of, golden_digest, rows.path)
    rows.metadata.update(summary)
    splits = ", ".join(f"{name} {count}" for name, count in summary["splits"].items())
    line = f"{summary['rows']} rows of {summary['repos']} repositories: {splits}"
    return RECIPE.feature_service, line
