"""Synthetic rows in the format that ``extract`` writes, for tests of training and evaluation.

Each repository's weekly rate wanders (a log-scale autoregression) with bursts
and silent weeks, so that a smoothed forecast beats the last week's count.
Windows named ``commits_<n>w`` are computed from the counts; every other feature
of the recipe is a deterministic transformation of them, so that any feature
list works.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WINDOW = re.compile(r"commits_(\d+)w")
GOLDEN_DIGEST = "sha256:" + "9" * 64
BURN_IN = 60
"""Weeks of history before the first row."""


def write_rows(
    path: Path, features: Sequence[str], *, repos: int = 6, weeks: int = 120, seed: int = 0
) -> Path:
    """``weeks`` rows for each of ``repos`` repositories; the last one ends up dormant."""
    rng = np.random.default_rng(seed)
    tables = [
        _repository(f"org/repo-{i}", features, weeks, rng, dies=i == repos - 1)
        for i in range(repos)
    ]
    table = pa.concat_tables(tables).replace_schema_metadata({"golden": GOLDEN_DIGEST})
    pq.write_table(table, path)
    return path


def _repository(
    name: str, features: Sequence[str], weeks: int, rng: np.random.Generator, *, dies: bool
) -> pa.Table:
    counts = _counts(BURN_IN + weeks + 1, rng, dies=dies, tail=50)
    asked = np.arange(BURN_IN, BURN_IN + weeks)

    def window(n: int) -> np.ndarray:
        total = np.concatenate([[0], counts.cumsum()])
        return total[asked] - total[np.maximum(asked - n, 0)]

    split = np.full(weeks, "train", dtype=object)
    split[-26:-14], split[-14:-2], split[-2:] = "validation", "golden", "recent"
    last = window(1).astype(float)
    label = counts[asked].astype(float)
    naive_error = np.abs(last - label)[split == "train"].mean()
    start = np.datetime64("2021-01-04", "us")
    mondays = start + np.arange(weeks) * np.timedelta64(7, "D")
    columns = {
        "row": pa.array([f"{name}@{monday.astype('datetime64[D]')}" for monday in mondays]),
        "repo": pa.array([name] * weeks),
        "event_timestamp": pa.array(mondays, pa.timestamp("us", "UTC")),
        "week_start": pa.array(mondays, pa.timestamp("us", "UTC")),
        "split": pa.array(split, pa.string()),
        "label": pa.array(label),
        "naive_last_week": pa.array(last),
        "naive_mean_4w": pa.array(window(4) / 4.0),
        "naive_log_ses": pa.array(window(8) / 8.0),
        "scale": pa.array(np.full(weeks, max(naive_error, 0.1))),
        "dormant": pa.array(window(26) == 0),
        "history_weeks": pa.array(asked),
    }
    for i, feature in enumerate(features):
        match = WINDOW.fullmatch(feature)
        values = window(int(match[1])) if match else np.sqrt(window(1 + 5 * i % 52))
        columns[feature] = pa.array(values.astype(np.float32))
    return pa.table(columns)


def _counts(n: int, rng: np.random.Generator, *, dies: bool, tail: int) -> np.ndarray:
    level = np.zeros(n)
    for week in range(1, n):
        level[week] = 0.9 * level[week - 1] + rng.normal(0, 0.25)
    rate = np.exp(level + rng.uniform(0.5, 3.0))
    rate *= np.where(rng.random(n) < 0.05, 3.0, 1.0)
    counts = rng.poisson(rate * rng.gamma(2.0, 0.5, n))
    if dies:
        counts[-tail:] = 0
    return counts
