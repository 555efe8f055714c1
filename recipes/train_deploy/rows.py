"""The extracted rows as arrays: the one reader of the parquet file that ``extract`` writes.

One line for each repository and week. pyarrow and numpy only: trials, training
and evaluation all start with this import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

TRAIN, VALIDATION, GOLDEN, RECENT = "train", "validation", "golden", "recent"
GOLDEN_DIGEST_KEY = b"golden"
"""Metadata key of the parquet file."""


BASELINES = {
    "last_week": "naive_last_week",
    "mean_4w": "naive_mean_4w",
    "log_ses": "naive_log_ses",
}
"""Baseline -> its column."""


@dataclass(frozen=True)
class Rows:
    """Columns of equal length n; ``features`` is (n, f), float32, in the order asked for."""

    row: np.ndarray
    """``repo@date``: the name of the row."""
    repo: np.ndarray
    event_timestamp: np.ndarray
    """datetime64[us], UTC: when the row is asked; nothing later is in its features."""
    week_start: np.ndarray
    """datetime64[us], UTC: the Monday 00:00 at which the week to forecast begins."""
    split: np.ndarray
    label: np.ndarray
    """Commits in the seven days from week_start on."""
    naive_last_week: np.ndarray
    naive_mean_4w: np.ndarray
    naive_log_ses: np.ndarray
    scale: np.ndarray
    """The repository's own training-period error of last-week forecasts, > 0."""
    dormant: np.ndarray
    history_weeks: np.ndarray
    feature_names: tuple[str, ...]
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def where(self, mask: np.ndarray) -> Rows:
        """The rows for which ``mask`` (n,) is true."""
        columns = {name: getattr(self, name)[mask] for name in _COLUMNS}
        return Rows(feature_names=self.feature_names, features=self.features[mask], **columns)

    def of(self, *splits: str) -> Rows:
        return self.where(np.isin(self.split, splits))


_COLUMNS = (
    "row",
    "repo",
    "event_timestamp",
    "week_start",
    "split",
    "label",
    "naive_last_week",
    "naive_mean_4w",
    "naive_log_ses",
    "scale",
    "dormant",
    "history_weeks",
)


def read(path: str | Path, features: Sequence[str]) -> Rows:
    """Read the columns of ``features`` and the bookkeeping of every row.

    Raises ValueError naming the column that is missing, and for a scale that is
    not positive (a MASE would be infinite).
    """
    present = set(pq.read_schema(path).names)
    missing = [name for name in (*_COLUMNS, *features) if name not in present]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}")
    table = pq.read_table(path, columns=[*_COLUMNS, *features])
    columns = {name: _numpy(table[name]) for name in _COLUMNS}
    if not (columns["scale"] > 0).all():
        raise ValueError(f"{path}: scale must be positive in every row")
    matrix = np.column_stack([_numpy(table[name]).astype(np.float32) for name in features])
    return Rows(feature_names=tuple(features), features=np.ascontiguousarray(matrix), **columns)


def golden_digest(path: str | Path) -> str:
    """The digest of the golden set that ``extract`` froze these rows for; "" when unknown."""
    return (pq.read_schema(path).metadata or {}).get(GOLDEN_DIGEST_KEY, b"").decode()


def _numpy(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"))
    values = column.to_numpy()
    return values.astype(str) if values.dtype == object else values


def training_rows(path: str | Path) -> dict[str, Any]:
    """How many rows trained the model, and the week of the newest of them."""
    table = pq.read_table(path, columns=["split", "week_start"])
    weeks = table.filter(pc.equal(table["split"], TRAIN))["week_start"]
    newest = pc.max(weeks).as_py()
    return {"rows": len(weeks), "newest_row_at": newest.isoformat() if newest else ""}


def copy_splits(rows_path: str | Path, out_path: str | Path, *splits: str) -> None:
    """The rows of some splits in a file of their own, schema and metadata unchanged."""
    pq.write_table(pq.read_table(rows_path, filters=[("split", "in", splits)]), out_path)
