"""Tiny git repositories and homes for tests: real git, real tables, no network."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from platform_ctl.recipe.recipe import DataAccess
from recipes.common import iceberg
from recipes.train_deploy import names, tables
from recipes.train_deploy.tables import RepoObservation

MONDAY_S = 1_704_067_200
"""2024-01-01, a Monday."""
DAY_S = 86_400
WEEK_S = 7 * DAY_S
NOW = datetime(2100, 1, 6, 12, tzinfo=UTC)
"""Later than the reflogs that git writes while the tests run."""


def data_access(home: Path) -> DataAccess:
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


@dataclass(frozen=True)
class Commit:
    at: int
    mail: bytes = b"ada@example.org"
    message: bytes = b"work"
    lines: int = 3
    file: str = "file.txt"


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "protocol.file.allow=always", *words],
        check=True,
        capture_output=True,
    )
    return done.stdout.decode(errors="replace").strip()


def make_repo(folder: Path, commits: list[Commit], *, origin: str = "", bare: bool = False) -> Path:
    """A repository with these commits on main, in this order, made by one fast-import."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main", *(["--bare"] if bare else []))
    add_commits(folder, commits)
    if origin:
        git(folder, "remote", "add", "origin", origin)
    return folder


def fetched(folder: Path, at: int, commit: str = "", branch: str = "main") -> None:
    """As a successful fetch leaves it: FETCH_HEAD names what the origin had (default: HEAD)."""
    git_dir = folder / ".git" if (folder / ".git").is_dir() else folder
    line = f"{commit or git(folder, 'rev-parse', 'HEAD')}\t\tbranch '{branch}' of example.org/app\n"
    (git_dir / "FETCH_HEAD").write_text(line)
    os.utime(git_dir / "FETCH_HEAD", (at, at))


def add_commits(folder: Path, commits: list[Commit], *, restart: bool = False) -> None:
    """Append to main; ``restart`` makes a new root, as a rewritten history has."""
    if not commits:
        return
    stream = [b"reset refs/heads/main\n"] if restart else []
    known = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "-q", "--verify", "refs/heads/main"],
        check=False,
        capture_output=True,
    ).stdout.strip()
    for index, commit in enumerate(commits):
        content = f"{commit.at} {index}\n".encode() * commit.lines
        stream += [
            b"commit refs/heads/main\n",
            b"author x <%s> %d +0000\n" % (commit.mail, commit.at),
            b"committer x <%s> %d +0000\n" % (commit.mail, commit.at),
            b"data %d\n%s\n" % (len(commit.message), commit.message),
            b"from %s\n" % known if known and index == 0 and not restart else b"",
            b"M 100644 inline %s\ndata %d\n%s\n" % (commit.file.encode(), len(content), content),
        ]
    subprocess.run(
        [
            "git",
            "-C",
            str(folder),
            "fast-import",
            "--quiet",
            "--force",
            "--date-format=raw-permissive",
        ],
        input=b"".join(stream),
        check=True,
        capture_output=True,
    )


def weekly_commits(weeks: int, per_week: int = 2, start: int = MONDAY_S) -> list[Commit]:
    return [
        Commit(start + week * WEEK_S + n * DAY_S + 3600, b"a%d@example.org" % (n % 3))
        for week in range(weeks)
        for n in range(per_week)
    ]


def read_table(data: DataAccess, name: str = names.COMMITS) -> pa.Table:
    return tables.load(data, name).scan().to_arrow()


def snapshots(data: DataAccess) -> int:
    return len(list(tables.load(data, names.COMMITS).snapshots()))


def write_commits(
    data: DataAccess,
    commits: list[tuple[str, str, int, int]],
    *,
    until: int,
) -> str:
    """Put (repo, author, committed_s, available_s) straight into the table, as one backfill."""
    moment = pa.timestamp("us", "UTC")

    def times(values: list[int]) -> pa.Array:
        return pa.array([v * 1_000_000 for v in values], moment)

    size = len(commits)
    rows = pa.table(
        {
            "repo": [c[0] for c in commits],
            "hash": [f"{i:040x}" for i in range(size)],
            "author": [c[1] for c in commits],
            "committed_at": times([c[2] for c in commits]),
            "ingested_at": times([c[3] for c in commits]),
            "available_at": times([c[3] for c in commits]),
            "files_changed": pa.array([1] * size, pa.int32()),
            "insertions": pa.array([i % 50 for i in range(size)], pa.int32()),
            "deletions": pa.array([i % 7 for i in range(size)], pa.int32()),
            "backfill": [True] * size,
        }
    )
    table = iceberg.load_or_create(data, names.COMMITS, tables.commits_schema(), "committed_at")
    observed = {
        repo: RepoObservation(head="x", at=until, until=until, last=max(c[2] for c in commits))
        for repo in {c[0] for c in commits}
    }
    return tables.append(table, rows.cast(tables.commits_schema().as_arrow()), observed)
