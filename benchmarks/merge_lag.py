"""A backfill beside life: rows that see a commit when it was made, or when the main branch got it.

``python -m benchmarks.merge_lag CLONE… --until 2026-07-20 --out FOLDER`` ingests the clones as of
that Monday and writes two files of training rows for ``benchmarks.quality``: ``committed.parquet``,
as the ingest of a history makes them, and ``mainline.parquet``, in which a commit is available from
the moment at which a commit of the first-parent chain brought it. Labels are the same. Prints, for
each clone, the share of commits of the last year that count in an earlier week than that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from benchmarks.weekly_retrains import ROOT, Copy
from platform_ctl import targets
from platform_ctl.recipe.recipe import DataAccess
from platform_ctl.settings import load
from recipes.train_deploy import data, tables
from recipes.train_deploy.extract import extract
from recipes.train_deploy.weeks import WEEK_S, monday_s

YEAR_S = 52 * WEEK_S


def mainline_s(clone: Path) -> dict[str, tuple[int, int]]:
    """Hash -> when it was committed, and when the first-parent chain of main got it (epoch s).

    The chain is walked from its oldest commit on; each brings what no older one has.
    """
    words = ("git", "-C", str(clone), "log", "--format=%H %ct %P", "refs/heads/main")
    log = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    commits = {h: (int(t), parents) for h, t, *parents in map(str.split, log.splitlines())}
    chain = [next(iter(commits))]
    while parents := commits[chain[-1]][1]:
        chain.append(parents[0])
    found: dict[str, tuple[int, int]] = {}
    for main in reversed(chain):
        pending, got_s = [main], commits[main][0]
        while pending:
            commit = pending.pop()
            if commit not in found:
                made_s, parents = commits[commit]
                found[commit] = (made_s, max(made_s, got_s))
                pending += parents
    return found


def earlier_weeks(times: Mapping[str, tuple[int, int]], now_s: int) -> float:
    """Share of the last year's commits that were made in an earlier week than main got them."""
    last = [(made, got) for made, got in times.values() if got >= now_s - YEAR_S]
    return sum(monday_s(made) < monday_s(got) for made, got in last) / max(1, len(last))


def write_rows(access: DataAccess, path: Path) -> None:
    pinned = data.resolve(access)
    extract(access, pinned.snapshot_id, pinned.as_of, pinned.golden_digest, str(path))


def make_available_at(access: DataAccess, times: Sequence[Mapping[str, tuple[int, int]]]) -> None:
    """Replace the commits of the home by the same ones, available when main got them."""
    got = {commit: found[1] for one in times for commit, found in one.items()}
    commits = tables.commits_at(access)
    rows = commits.table.scan().to_arrow()
    moments = pa.array([got[h] * 1_000_000 for h in rows["hash"].to_pylist()], pa.int64())
    index = rows.schema.get_field_index("available_at")
    field = rows.schema.field(index)
    commits.table.overwrite(
        rows.set_column(index, field, moments.cast(field.type)),
        snapshot_properties=tables.summary(commits.observed),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clones", nargs="+", type=Path)
    parser.add_argument("--until", required=True, help="a Monday, YYYY-MM-DD")
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args()
    now = datetime.fromisoformat(given.until).replace(tzinfo=UTC)
    out = given.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PLATFORM_HOME"] = f"{folder}/home"
        copies = [Copy(path.absolute(), Path(folder)) for path in given.clones]
        times = []
        for copy in copies:
            copy.bring_to(now)
            times.append(mainline_s(copy.path))
            share = earlier_weeks(times[-1], int(now.timestamp()))
            print(f"{copy.path.name:35s} {len(times[-1]):7d} commits  {share:6.1%}", flush=True)
        access = targets.data_access(load(cwd=ROOT, env=os.environ).settings)
        data.ingest_git(access, paths=[copy.path for copy in copies], now=now)
        write_rows(access, out / "committed.parquet")
        make_available_at(access, times)
        write_rows(access, out / "mainline.parquet")


if __name__ == "__main__":
    main()
