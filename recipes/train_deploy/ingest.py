"""Bring git histories into the commits table: incremental, idempotent, one snapshot an ingest."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from platform_ctl.errors import ConfigError, NotARepository, UsageError
from platform_ctl.folders import make_private
from platform_ctl.recipe.datasets import Ingested, IngestReport, Progress, no_progress
from platform_ctl.recipe.recipe import PSEUDONYM_KEY, DataAccess
from recipes.common import iceberg
from recipes.train_deploy import git_history, names, tables
from recipes.train_deploy.git_history import Clone, RawCommit
from recipes.train_deploy.names import RECIPE
from recipes.train_deploy.tables import RepoObservation
from recipes.train_deploy.weeks import from_epoch

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table

PSEUDONYM_HEX_DIGITS = 32
_US = 1_000_000
_CASELESS = {"github.com", "gitlab.com", "bitbucket.org", "codeberg.org"}
_MOST = 2**31 - 1
"""Lines or files of one commit: what the column holds."""
EARLIEST_S = 4 * 86_400
"""1970-01-05, the Monday from which weeks are counted."""


@dataclass
class _Batch:
    """What one repository brings: new rows, and what was left out."""

    rows: pa.Table
    report: Ingested
    observation: RepoObservation


def ingest_git(
    data: DataAccess,
    paths: Sequence[Path],
    now: datetime,
    progress: Progress = no_progress,
) -> IngestReport:
    """Append the commits reachable from HEAD of each clone that the table does not have yet.

    The first ingest of a repository is a backfill (available when committed);
    what comes later is available from ``now``. Commits dated before 1970 or
    after ``now`` are left out and counted; the latter come with a later ingest.
    Every path is looked at before anything is written.

    Raises NotARepository, ShallowClone, MissingProgram, HomeBusy, DiskFull, UsageError.
    """
    if not paths:
        raise UsageError(
            "no clone was given", fix=f"platform-ctl data ingest --recipe {RECIPE} --git PATH…"
        )
    now_s = int(now.timestamp())
    by_repo: dict[str, list[Clone]] = {}
    for done, path in enumerate(dict.fromkeys(p.expanduser().absolute() for p in paths)):
        progress(f"looking at {path.name}", done, len(paths))
        clone = git_history.inspect(path, now_s)
        by_repo.setdefault(clone.repo, []).append(clone)
    pseudonym = pseudonymiser(data)
    with tables.exclusive(data, "data"):
        table = iceberg.load_or_create(data, names.COMMITS, tables.commits_schema(), "committed_at")
        current = table.current_snapshot()
        lines = tables.timelines(table, current.snapshot_id if current else None)
        known = {repo: line[-1] for repo, line in lines.items()}
        by_repo = _one_spelling(by_repo, known)
        batches = []
        for done, (repo, clones) in enumerate(by_repo.items()):
            progress(f"reading {repo}", done, len(by_repo))
            batches.append(_read_repo(table, clones, known.get(repo), now_s, pseudonym))
        progress("writing", len(by_repo), len(by_repo))
        snapshot_id = _write(table, batches, known)
    return IngestReport(names.COMMITS, snapshot_id, now, tuple(b.report for b in batches))


def _one_spelling(by_repo: dict[str, list[Clone]], known: Iterable[str]) -> dict[str, list[Clone]]:
    """Repositories of forges that ignore capitals, under the first spelling there was."""
    first = {repo.lower(): repo for repo in reversed([*known, *by_repo])}
    by_name: dict[str, list[Clone]] = {}
    for repo, clones in by_repo.items():
        caseless = repo.partition("/")[0] in _CASELESS
        name = first[repo.lower()] if caseless else repo
        by_name.setdefault(name, []).extend(replace(clone, repo=name) for clone in clones)
    return by_name


def _write(table: Table, batches: list[_Batch], known: dict[str, RepoObservation]) -> str | None:
    import pyarrow as pa

    observed = {
        b.report.name: b.observation
        for b in batches
        if b.observation.head and not b.observation.same_as(known.get(b.report.name))
    }
    rows = pa.concat_tables([b.rows for b in batches])
    if not observed and not rows.num_rows:
        return None
    return tables.append(table, rows, observed)


def _read_repo(
    table: Table,
    clones: list[Clone],
    before: RepoObservation | None,
    now_s: int,
    pseudonym: Callable[[bytes], str],
) -> _Batch:
    """Every clone of one repository, without what the table or an earlier clone already gave."""
    import pyarrow as pa

    reads: list[_Read] = []
    for clone in clones:
        since = _read_since(clone, before)
        read = _read_clone(clone, since, before is None, now_s, pseudonym)
        earlier = [r.rows for r in reads]
        fresh = _without_known(table, read.rows, earlier, look_in_table=before is not None)
        known = read.rows.num_rows - fresh.num_rows
        others = earlier or (before and since is None)
        if others and read.rows.num_rows and not known and not clone.has_origin:
            raise _same_name(clone)
        reads.append(replace(read, rows=fresh, known=known))
    rows = pa.concat_tables([r.rows for r in reads])
    future = sum(r.future for r in reads)
    observation = _observation(clones, rows, before, future, now_s)
    report = Ingested(
        name=clones[0].repo,
        path=", ".join(git_history.printable(c.path) for c in clones),
        new_rows=rows.num_rows,
        known_rows=sum(r.known for r in reads),
        backfill=before is None,
        observed_until=from_epoch(observation.until) if observation.head else None,
        notes=tuple(_notes(clones, reads, before)),
    )
    return _Batch(rows, report, observation)


def _read_since(clone: Clone, before: RepoObservation | None) -> str | None:
    """The commit behind which a clone has something to give; None: read it in full."""
    if before and not before.skipped_future and git_history.has_commit(clone, before.head):
        return before.head
    return None


def _notes(
    clones: list[Clone], reads: list[_Read], before: RepoObservation | None
) -> Iterator[str]:
    """What somebody who reads the report should know about one repository."""
    for clone, read in zip(clones, reads, strict=True):
        yield from clone.notes
        where = git_history.printable(clone.path)
        if not read.lines:
            yield f"{where} lacks file contents: its commits have no line counts"
        if clone.head is None:
            yield f"{where} has no commit at HEAD"
    heads = [c for c in clones if c.head]
    if before and heads and all(_is_older(c, before) for c in heads):
        yield "it stands at an older commit than the last ingest read: nothing is new"
    elif before and heads and not any(_goes_on(c, before) for c in clones):
        yield (
            "its history was rewritten since the last ingest: commits that are no longer "
            "reachable stay as they were known; to start over: platform-ctl data remove "
            f"{quote(clones[0].repo)} --recipe {RECIPE}, then ingest again"
        )
    if past := sum(r.past for r in reads):
        yield f"{past} commits dated before 1970-01-05 (or undated) left out"
    if future := sum(r.future for r in reads):
        yield f"{future} commits dated in the future left out for now"


def _goes_on(clone: Clone, before: RepoObservation) -> bool:
    """Whether what the last ingest read is still part of the clone's history."""
    return git_history.has_commit(clone, before.head) and git_history.is_ancestor(
        clone, before.head
    )


def _is_older(clone: Clone, before: RepoObservation) -> bool:
    """Whether HEAD is part of the history that the last ingest read."""
    return (
        git_history.has_commit(clone, before.head)
        and git_history.is_ancestor(clone, clone.head or "", of=before.head)
        and clone.head != before.head
    )


def _observation(
    clones: list[Clone], rows: pa.Table, before: RepoObservation | None, future: int, now_s: int
) -> RepoObservation:
    import pyarrow as pa
    import pyarrow.compute as pc

    newest = max(clones, key=lambda c: (c.head is not None, c.observed_until))
    last = before.last if before else 0
    if rows.num_rows:
        committed = pc.max(rows["committed_at"].cast(pa.int64())).as_py()
        last = max(last, committed // _US)
    until = max(newest.observed_until, before.until if before else 0)
    older = before is not None and newest.head and _is_older(newest, before)
    head = before.head if before and (older or not newest.head) else newest.head or ""
    return RepoObservation(head=head, at=now_s, until=until, last=last, skipped_future=future)


@dataclass(frozen=True)
class _Read:
    """What one clone gave."""

    rows: pa.Table
    past: int
    """Left out: dated 1970 or before, or not at all."""
    future: int
    lines: bool
    """False: the clone lacks file contents, so insertions and deletions are 0."""
    known: int = 0
    """Not in ``rows`` because they were there before."""


def _read_clone(
    clone: Clone, since: str | None, backfill: bool, now_s: int, pseudonym: Callable[[bytes], str]
) -> _Read:
    try:
        return _read_commits(clone, since, backfill, now_s, pseudonym, lines=True)
    except git_history.MissingBlobs:
        return _read_commits(clone, since, backfill, now_s, pseudonym, lines=False)


def _read_commits(
    clone: Clone,
    since: str | None,
    backfill: bool,
    now_s: int,
    pseudonym: Callable[[bytes], str],
    *,
    lines: bool,
) -> _Read:
    import pyarrow as pa

    schema = tables.commits_schema().as_arrow()
    batches, past, future = [], 0, 0
    for raw in git_history.read(clone, since, lines=lines):
        dates = [int(c[1] or 0) for c in raw]
        dated = [c for c, date in zip(raw, dates, strict=True) if EARLIEST_S <= date <= now_s]
        past += sum(date < EARLIEST_S for date in dates)
        future += sum(date > now_s for date in dates)
        batches.append(_to_arrow(clone.repo, dated, backfill, now_s, pseudonym).cast(schema))
    return _Read(pa.Table.from_batches(batches, schema), past, future, lines)


def _to_arrow(
    repo: str,
    commits: list[RawCommit],
    backfill: bool,
    now_s: int,
    pseudonym: Callable[[bytes], str],
) -> pa.RecordBatch:
    import pyarrow as pa

    columns = list(zip(*commits, strict=True)) or [()] * 6
    hashes, dates, mails, *figures = columns
    size = len(commits)
    committed_at = pa.array([int(d) * _US for d in dates], pa.timestamp("us", "UTC"))
    now = pa.repeat(pa.scalar(now_s * _US, pa.timestamp("us", "UTC")), size)
    authors = {mail: pseudonym(mail) for mail in set(mails)}
    values = {
        "repo": pa.repeat(pa.scalar(repo), size),
        "hash": pa.array(hashes, pa.binary()).cast(pa.string()),
        "author": pa.array([authors[m] for m in mails], pa.string()),
        "committed_at": committed_at,
        "ingested_at": now,
        "available_at": committed_at if backfill else now,
        **{
            name: pa.array([min(int(n or 0), _MOST) for n in numbers], pa.int32())
            for name, numbers in zip(
                ("files_changed", "insertions", "deletions"), figures, strict=True
            )
        },
        "backfill": pa.repeat(pa.scalar(backfill), size),
    }
    return pa.RecordBatch.from_pydict(values)


def _without_known(
    table: Table, rows: pa.Table, earlier: list[pa.Table], *, look_in_table: bool
) -> pa.Table:
    """Rows whose hash neither the table (for this repository) nor ``earlier`` has."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = [part["hash"] for part in earlier]
    if look_in_table and rows.num_rows:
        from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, LessThanOrEqual

        span = pc.min_max(rows["committed_at"]).as_py()
        only = And(
            iceberg.compare(EqualTo, "repo", rows["repo"][0].as_py()),
            iceberg.compare(GreaterThanOrEqual, "committed_at", span["min"].isoformat()),
            iceberg.compare(LessThanOrEqual, "committed_at", span["max"].isoformat()),
        )
        known.append(table.scan(row_filter=only, selected_fields=("hash",)).to_arrow()["hash"])
    if not known:
        return rows
    kind = rows.schema.field("hash").type
    seen = pa.concat_arrays(
        [c.cast(kind) for column in known for c in column.chunks] or [pa.array([], kind)]
    )
    return rows.filter(pc.invert(pc.is_in(rows["hash"], value_set=seen)))


def _same_name(clone: Clone) -> NotARepository:
    return NotARepository(
        f"{clone.path} has no origin, and another repository without one is already called "
        f"{clone.repo!r}: their histories have no commit in common",
        where=str(clone.path),
        fix=f"git -C {quote(str(clone.path))} remote add origin URL",
    )


def pseudonymiser(data: DataAccess) -> Callable[[bytes], str]:
    """Keyed hash of an e-mail (HMAC-SHA256, 128 bits). Raises ConfigError without a key."""
    key = _pseudonym_key(data)

    def pseudonym(mail: bytes) -> str:
        digest = hmac.new(key, mail.strip().lower(), hashlib.sha256)
        return digest.hexdigest()[:PSEUDONYM_HEX_DIGITS]

    return pseudonym


def _pseudonym_key(data: DataAccess) -> bytes:
    """That of the environment, else of the file, which is made on first use, mode 0600."""
    if data.pseudonym_key:
        return data.pseudonym_key.encode()
    if data.pseudonym_key_file is None:
        raise ConfigError(
            "there is no key for the pseudonyms of authors, which every ingest has to share",
            where=f"environment variable {PSEUDONYM_KEY}",
            fix="platform-ctl --target kubernetes target install platform",
        )
    key_file = data.pseudonym_key_file
    if not key_file.resolve().is_relative_to(key_file.parent.resolve()):
        raise ConfigError(  # links inside its folder are how Kubernetes mounts a Secret
            "the key for the pseudonyms of authors is a link that leads out of its folder",
            where=str(key_file),
            fix=f"ls -l {shlex.quote(str(key_file))}",
        )
    try:
        return _read_key(key_file)
    except FileNotFoundError:
        return _make_key(key_file)


def _read_key(key_file: Path) -> bytes:
    """Raises ConfigError for one without a byte: anybody could compute those pseudonyms."""
    key = key_file.read_bytes()
    if not key:
        raise ConfigError(
            "the key for the pseudonyms of authors is empty: put it back from a backup; with a new "
            "one every author counts as a new person",
            where=str(key_file),
            fix=f"rm {shlex.quote(str(key_file))}",
        )
    return key


def _make_key(key_file: Path) -> bytes:
    """Whole or not at all; of two processes that make it at once, both get the first one's."""
    make_private(key_file.parent)
    draft = key_file.with_name(f".{key_file.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        handle.write(secrets.token_bytes(32))
    try:
        os.link(draft, key_file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _read_key(key_file)
