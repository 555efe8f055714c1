"""Ingest: commits for each CPU second, git itself not counted.

Makes a history with ``git fast-import`` in a temporary folder, ingests it into
an empty home, again (nothing new), and once more with some commits added.
The goal: 20,000 commits for each CPU second of this process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from platform_ctl.recipe.recipe import DataAccess
from recipes.train_deploy.ingest import ingest_git

GOAL_PER_CPU_S = 20_000
_START_S = 1_420_070_400
_WEEKS = 520


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is 200,000 commits")
    commits = int(200_000 * parser.parse_args().scale)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        clone = root / "history.git"
        subprocess.run(["git", "init", "--quiet", "--bare", str(clone)], check=True)
        _add_commits(clone, commits, first=0)
        data = _data_access(root / "home")
        now = datetime.now(UTC)
        _timed("first ingest", lambda: ingest_git(data, [clone], now), goal=True)
        _timed("again, nothing new", lambda: ingest_git(data, [clone], now))
        _add_commits(clone, commits // 100, first=commits)
        later = now + timedelta(seconds=1)
        _timed("again, one percent new", lambda: ingest_git(data, [clone], later))


def _timed(what, call, *, goal: bool = False) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    report = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    line = f"{what:<24} {report.new_rows:>8} commits  wall {wall:6.2f} s  own cpu {cpu:6.2f} s"
    if report.new_rows:
        line += f"  {report.new_rows / cpu:>9,.0f} commits/cpu s"
    print(line)
    if goal and report.new_rows / cpu < GOAL_PER_CPU_S:
        sys.exit(f"below the goal of {GOAL_PER_CPU_S:,} commits for each CPU second")


def _add_commits(clone: Path, count: int, first: int) -> None:
    known = subprocess.run(
        ["git", "-C", str(clone), "rev-parse", "-q", "--verify", "refs/heads/main"],
        capture_output=True,
        check=False,
    ).stdout.strip()
    step = _WEEKS * 7 * 86_400 // 220_000
    stream = []
    for n in range(first, first + count):
        who = b"x <author%d@example.org> %d +0000" % (n % 97, _START_S + n * step)
        stream.append(b"commit refs/heads/main\nauthor %s\ncommitter %s\ndata 1\nx\n" % (who, who))
        if n == first and known:
            stream.append(b"from %s\n" % known)
        stream.append(b"M 100644 inline file%d\ndata 8\n%08d\n" % (n % 50, n))
    subprocess.run(
        ["git", "-C", str(clone), "fast-import", "--quiet"], input=b"".join(stream), check=True
    )
    subprocess.run(["git", "-C", str(clone), "symbolic-ref", "HEAD", "refs/heads/main"], check=True)


def _data_access(home: Path) -> DataAccess:
    return DataAccess(
        catalog={
            "name": "local",
            "type": "sql",
            "uri": f"sqlite:///{home}/iceberg/catalog.db",
            "warehouse": f"file://{home}/iceberg/warehouse",
        },
        feast_dir=home / "feast",
        golden_dir=home / "golden",
        pseudonym_key_file=home / "secrets" / "author-key",
        lock_dir=home / "locks",
    )


if __name__ == "__main__":
    main()
