"""Forecast quality by rolling origin: what golden sets of earlier quarters would have said.

``python -m benchmarks.quality ROWS.parquet [--quarters N] [--seeds N]``, with
the file that the extract step wrote. For each of the last N blocks of 12 weeks
before the golden set: train on the weeks that ended eight weeks earlier (the
validation gap of a real run), with each repository's scale from those weeks
only, and score the block. Hyperparameters are the defaults, not searched. The
golden set itself comes last, once. docs/decisions/0032-model-quality.md quotes it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from recipes.train_deploy import model, rows, train
from recipes.train_deploy.features import FEATURE_NAMES

WEEK = np.timedelta64(7, "D")
BLOCK_WEEKS, GAP_WEEKS = 12, 8
MIN_TRAIN_ROWS, SCALE_FLOOR = 8, 0.25


def blocks(data: rows.Rows, quarters: int) -> Iterator[tuple[rows.Rows, rows.Rows]]:
    """(training rows, rows of a block), oldest first; the golden set last."""
    past = data.of(rows.TRAIN, rows.VALIDATION)
    end = past.week_start.max()
    for back in reversed(range(quarters)):
        last = end - back * BLOCK_WEEKS * WEEK
        first = last - (BLOCK_WEEKS - 1) * WEEK
        seen = past.where(past.week_start < first - GAP_WEEKS * WEEK)
        yield rescaled(seen, past.where((past.week_start >= first) & (past.week_start <= last)))
    yield data.of(rows.TRAIN), data.of(rows.GOLDEN)


def rescaled(seen: rows.Rows, block: rows.Rows) -> tuple[rows.Rows, rows.Rows]:
    """Both with the scale that the training rows give; repositories without one are left out."""
    error = np.abs(seen.label - seen.naive_last_week)
    scale = {
        repo: max(float(error[seen.repo == repo].mean()), SCALE_FLOOR)
        for repo in np.unique(seen.repo)
        if (seen.repo == repo).sum() >= MIN_TRAIN_ROWS
    }
    kept = [part.where(np.isin(part.repo, list(scale))) for part in (seen, block)]
    first, second = (replace(p, scale=np.array([scale[r] for r in p.repo])) for p in kept)
    return first, second


def mase(forecast: np.ndarray, block: rows.Rows) -> float:
    return float((np.abs(forecast - block.label) / block.scale)[~block.dormant].mean())


def trained_mase(seen: rows.Rows, block: rows.Rows, seed: int) -> float:
    hp = train.Hyperparameters(seed=seed)
    data = train.Split(seen, block.where(~block.dormant))
    net = model.build(train.spec_of(data, hp), hp.seed)
    return train.learn(net, data, hp)[-1]["val_mase"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows")
    parser.add_argument("--quarters", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--unit-of", help="other rows, whose errors of last week are the unit")
    arguments = parser.parse_args()
    data = rows.read(arguments.rows, FEATURE_NAMES)
    print("block from   rows  last week  4-week mean    log-SES  model (sd of seeds)   below best")
    units = rows.read(arguments.unit_of, FEATURE_NAMES) if arguments.unit_of else data
    gains = []
    for (seen, own), (_, unit) in zip(
        blocks(data, arguments.quarters), blocks(units, arguments.quarters), strict=True
    ):
        block = replace(own, scale=unit.scale) if (own.row == unit.row).all() else own
        naive = [mase(getattr(block, c), block) for c in rows.BASELINES.values()]
        scores = [trained_mase(seen, block, seed) for seed in range(arguments.seeds)]
        gains.append(1 - np.mean(scores) / min(naive))
        print(
            f"{block.week_start.min().astype('datetime64[D]')} {(~block.dormant).sum():6d}"
            f" {naive[0]:10.3f} {naive[1]:12.3f} {naive[2]:10.3f} {np.mean(scores):9.3f}"
            f" ({np.std(scores):.4f})"
            f" {100 * gains[-1]:17.1f} %",
            flush=True,
        )
    print(f"before the golden set: median {100 * np.median(gains[:-1]):.1f} %")


if __name__ == "__main__":
    main()
