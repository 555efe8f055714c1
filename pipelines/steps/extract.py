"""The rows of a run: all of them, and beside them those that a model may learn from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from platform_ctl import targets
from platform_ctl.recipe.recipe import resolve

if TYPE_CHECKING:
    from kfp import dsl

logger = logging.getLogger(__name__)
LEARNT_FROM = ("train", "validation")


def run(
    function: str,
    feature_service: str,
    snapshot_id: str,
    as_of: str,
    golden_digest: str,
    rows: dsl.Dataset,
    training: dsl.Dataset,
) -> tuple[str, str]:
    """``function``: the recipe's ``extract``, by reference.

    -> name of the feature service, one line about the rows.

    ``training`` holds training and validation rows and nothing about the run, so that search and
    fit come from the cache while these rows are the same, whatever the others are.
    """
    access = targets.data_access(targets.current_settings())
    extracted = resolve(function)(access, snapshot_id, as_of, golden_digest, rows.path)
    # Metadata is part of the cache key of later steps: nothing here may tell the time.
    rows.metadata.update(extracted["metadata"])
    if counts := extracted.get("columns"):  # for lineage
        rows.metadata["columns"] = counts
    _write_training(Path(rows.path), Path(training.path))
    splits = ", ".join(f"{name} {count}" for name, count in extracted["splits"].items())
    line = f"{extracted['summary']}: {splits}"
    logger.info(line)
    return feature_service, line


def _write_training(rows: Path, training: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(rows, filters=[("split", "in", LEARNT_FROM)])
    pq.write_table(table.replace_schema_metadata(None), training, compression="zstd")
