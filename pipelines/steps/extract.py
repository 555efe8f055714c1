"""Point-in-time rows of every repository and week."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recipes.train_deploy.recipe import RECIPE

from platform_ctl import targets
from recipes.train_deploy import features

if TYPE_CHECKING:
    from kfp import dsl


def run(snapshot_id: str, as_of: str, golden_digest: str, rows: dsl.Dataset) -> tuple[str, str]:
    """-> name of the feature service, one line about the rows."""
    access = targets.data_access(targets.current_settings())
    summary = features.extract_rows(access, snapshot_id, as_of, golden_digest, rows.path)
    rows.metadata.update(summary)
    line = ", ".join(f"{name} {count}" for name, count in summary["rows"].items())
    return RECIPE.feature_service, f"rows: {line}"
