"""Point-in-time rows of every repository and week."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from platform_ctl import targets

if TYPE_CHECKING:
    from kfp import dsl


def run(
    extract_rows: Callable[..., dict[str, Any]],
    feature_service: str,
    snapshot_id: str,
    as_of: str,
    golden_digest: str,
    rows: dsl.Dataset,
) -> tuple[str, str]:
    """-> name of the feature service, one line about the rows."""
    access = targets.data_access(targets.current_settings())
    summary = extract_rows(access, snapshot_id, as_of, golden_digest, rows.path)
    # Metadata is part of the cache key of later steps: nothing here may tell the time.
    described = ("rows", "repos", "splits", "features", "snapshot_id", "as_of", "golden_digest")
    rows.metadata.update({name: summary[name] for name in described})
    if counts := summary.get("columns"):  # for lineage
        rows.metadata["columns"] = counts
    splits = ", ".join(f"{name} {count}" for name, count in summary["splits"].items())
    line = f"{summary['rows']} rows of {summary['repos']} repositories: {splits}"
    return feature_service, line
