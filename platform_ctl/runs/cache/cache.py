"""The step cache of a home: rows in its database, bytes in its object store.

Bytes are linked into the store when a task succeeds and out of it on a hit, so
that neither pruning runs nor removing the cache breaks the other. Rows and
objects change inside one write transaction; a reader sees an entry whole or not
at all. A hit is checked by stamps (size, mtime, inode) and hashed again when
they differ; see ``docs/decisions/0010-step-cache.md``.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from platform_ctl.errors import DiskFull
from platform_ctl.folders import make_private
from platform_ctl.home.state import transaction
from platform_ctl.runs.cache import cache_rows as rows
from platform_ctl.runs.cache import computing, fingerprint
from platform_ctl.runs.cache.diff import diff
from platform_ctl.runs.cache.fingerprint import (
    Measured,
    is_fresh,
    local_path,
    measure,
    stamps,
)
from platform_ctl.runs.cache.key import ABSENT, CacheKey
from platform_ctl.runs.cache.object_store import ObjectStore, link_tree
from platform_ctl.runs.cache.values import (
    CacheDecision,
    Hit,
    Miss,
    Nearest,
    PruneReport,
    Quarantined,
    Stored,
    VerifyReport,
)
from platform_ctl.runs.record import Artifact, Outputs

_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG}
NEAREST_OF = 10
"""Earlier entries of the component that a miss is compared with, newest first."""


class StepCache:
    """Implements ``runs.cache.port.Cache``. Use each instance from one thread."""

    def __init__(self, root: Path, db: sqlite3.Connection) -> None:
        self._objects = ObjectStore(root)
        self._db = db

    # ---- a run ------------------------------------------------------------

    def lookup(
        self, key: CacheKey, *, run_id: str, task: str, places: Mapping[str, Path]
    ) -> Hit | Miss:
        """See ``runs.cache.port.Cache.lookup``."""
        entry = rows.entry(self._db, key.digest)
        if entry is None or entry.quarantined:
            result: Hit | Miss = self._miss(key, entry)
        else:
            result = self._serve(key, entry, places)
        with transaction(self._db):
            rows.put_key(self._db, key)
            rows.put_decision(self._db, _decision(key, result, run_id, task))
            if isinstance(result, Hit):
                rows.count_hit(self._db, key.digest)
        return result

    def holds(self, key: CacheKey) -> bool:
        """See ``runs.cache.port.Cache.holds``."""
        entry = rows.entry(self._db, key.digest)
        return entry is not None and not entry.quarantined

    def bypass(self, *, run_id: str, task: str, reason: str) -> None:
        """See ``runs.cache.port.Cache.bypass``."""
        rows.put_decision(
            self._db,
            CacheDecision(
                run_id=run_id,
                task=task,
                decision="BYPASS",
                reason=reason,
                decided_at=datetime.now(UTC),
                key="",
                fingerprint="",
            ),
        )

    def store(
        self,
        key: CacheKey,
        outputs: Outputs,
        *,
        run_id: str,
        task: str,
        wall_s: float,
        cpu_s: float,
    ) -> Stored:
        """See ``runs.cache.port.Cache.store``."""
        measured = {a.uri: _measure(a) for v in outputs.artifacts.values() for a in v}
        outputs = replace(
            outputs,
            artifacts={
                name: tuple(fingerprint.measured(a, measured[a.uri]) for a in artifacts)
                for name, artifacts in outputs.artifacts.items()
            },
        )
        entry = rows.Entry(
            key=key.digest,
            component=key.component,
            run_id=run_id,
            task=task,
            outputs=outputs,
            wall_s=wall_s,
            cpu_s=cpu_s,
            created_at=datetime.now(UTC),
        )
        try:
            self._put(key, entry, measured)
        except (OSError, sqlite3.OperationalError, DiskFull) as exc:
            if isinstance(exc, OSError) and exc.errno not in _CANNOT_WRITE:
                raise
            return Stored(outputs, f"the result of {task} could not be kept in the cache: {exc}")
        return Stored(outputs)

    def _put(
        self, key: CacheKey, entry: rows.Entry, measured: Mapping[str, Measured | None]
    ) -> None:
        """Stages each digest once, writes objects and row together, and leaves nothing staged."""
        staged: dict[str, tuple[Measured, Path]] = {}
        try:
            for uri, artifact in measured.items():
                path = local_path(uri)
                if path and artifact and artifact.digest not in (ABSENT, *staged):
                    staged[artifact.digest] = (artifact, self._objects.stage(path))
            self._commit(key, entry, staged)
        finally:
            for _, folder in staged.values():
                self._objects.discard(folder)

    # ---- explaining and keeping house ------------------------------------

    def decisions(self, run_id: str) -> list[CacheDecision]:
        """See ``runs.cache.port.Cache.decisions``."""
        return rows.decisions(self._db, run_id)

    def damage(self, key: str) -> str:
        """What a lookup would find wrong with an entry's artifacts, "" when it would be served.

        Writes nothing: nothing is quarantined, nothing stamped again.
        """
        for name, digest in rows.objects_of(self._db, key):
            if not self._is_fresh(digest):
                problem = _unlike(measure(self._objects.path(digest)), digest)
                if problem:
                    return f"artifact {name} {problem}"
        return ""

    def damaged(self, *, deep: bool = False) -> list[Quarantined]:
        """See ``runs.cache.port.Cache.damaged``."""
        problems: dict[str, str] = {}
        quarantined = []
        for entry in rows.live_entries(self._db):
            for name, digest in rows.objects_of(self._db, entry.key):
                path = self._objects.path(digest)
                if digest not in problems:
                    sound = not deep and self._is_fresh(digest)
                    problems[digest] = "" if sound else _unlike(measure(path), digest)
                if problems[digest]:
                    quarantined.append(_taken_out(entry, name, problems[digest], str(path)))
        return quarantined

    def verify(self) -> VerifyReport:
        """See ``runs.cache.port.Cache.verify``."""
        entries = rows.live_entries(self._db)
        holders: dict[str, list[tuple[rows.Entry, str]]] = {}
        for entry in entries:
            for name, digest in rows.objects_of(self._db, entry.key):
                holders.setdefault(digest, []).append((entry, name))
        taken_out: list[Quarantined] = []
        for digest, held_by in holders.items():
            problem = self._rehash(digest)
            if problem:
                place = self._quarantine(digest, problem)
                taken_out += [_taken_out(e, name, problem, place) for e, name in held_by]
        size = rows.stored_bytes(self._db)
        return VerifyReport(len(entries), len(holders), size, tuple(taken_out))

    def prune(self, *, older_than: timedelta | None, max_size_bytes: int | None) -> PruneReport:
        """See ``runs.cache.port.Cache.prune``."""
        now = datetime.now(UTC)
        with transaction(self._db):
            before = rows.stored_bytes(self._db)
            dropped = (
                rows.drop_unused_since(self._db, now - older_than) if older_than is not None else 0
            )
            rows.drop_unreferenced(self._db, self._objects.retire)
            if max_size_bytes is not None:
                while rows.stored_bytes(self._db) > max_size_bytes and rows.drop_oldest(self._db):
                    dropped += 1
                    rows.drop_unreferenced(self._db, self._objects.retire)
            after = rows.stored_bytes(self._db)
            remaining = len(rows.live_entries(self._db))
            if older_than is not None:
                rows.drop_records_before(self._db, now - older_than)
        kept_s = None if older_than is None else older_than.total_seconds()
        self._objects.sweep(now=time.time(), quarantine_s=kept_s)
        computing.sweep(self._objects.root)
        return PruneReport(dropped, before - after, remaining, after)

    # ---- inside -----------------------------------------------------------

    def _serve(self, key: CacheKey, entry: rows.Entry, places: Mapping[str, Path]) -> Hit | Miss:
        """Check and link every artifact; the first bad one quarantines the entry."""
        for name, digest in rows.objects_of(self._db, entry.key):
            problem = self._check(digest)
            if problem:
                moved_to = self._quarantine(digest, problem)
                return Miss(
                    f"quarantined: artifact {name} {problem}",
                    warning=f"cached artifact {name!r} of {entry.task} (run {entry.run_id}) "
                    f"{problem}{f'; kept in {moved_to}' if moved_to else ''}; the task runs again",
                    quarantined=True,
                )
        try:
            artifacts = {
                name: tuple(
                    self._placed(a, _place(places.get(name), index)) for index, a in enumerate(v)
                )
                for name, v in entry.outputs.artifacts.items()
            }
        except FileNotFoundError:
            for place in places.values():
                _clear(place)  # a step that wrote to a linked file would write to the cache
            return Miss("the entry was pruned by another process")
        return Hit(
            key=key.digest,
            outputs=replace(entry.outputs, artifacts=artifacts),
            run_id=entry.run_id,
            task=entry.task,
            created_at=entry.created_at,
            wall_s=entry.wall_s,
            cpu_s=entry.cpu_s,
        )

    def _placed(self, artifact: Artifact, place: Path | None) -> Artifact:
        """Link an artifact to its place; one whose bytes are elsewhere keeps its address."""
        if local_path(artifact.uri) is None:
            return artifact
        if place is None:
            return replace(artifact, uri=str(self._objects.path(artifact.digest)))
        try:
            _clear(place)
            make_private(place.parent)
            if artifact.digest != ABSENT:
                link_tree(self._objects.path(artifact.digest), place)
        except OSError as exc:
            if exc.errno not in _CANNOT_WRITE:
                raise
            raise DiskFull(
                f"a cached artifact could not be linked: {exc}", where=str(place), fix="df -h"
            ) from exc
        return replace(artifact, uri=str(place))

    def _miss(self, key: CacheKey, entry: rows.Entry | None) -> Miss:
        if entry is not None:
            return Miss(f"earlier result was quarantined: {entry.quarantined}")
        nearest = self._nearest(key)
        if nearest is None:
            return Miss("no earlier result of this component")
        if not nearest.changes:
            return Miss("the key has a part that is not compared", nearest)
        more = f" (and {len(nearest.changes) - 1} more)" if len(nearest.changes) > 1 else ""
        return Miss(f"{nearest.changes[0]}{more}", nearest)

    def _nearest(self, key: CacheKey) -> Nearest | None:
        candidates = [
            Nearest(e.key, e.run_id, e.task, e.created_at, diff(inputs, key.inputs))
            for e, inputs in rows.recent(self._db, key.component, NEAREST_OF)
        ]
        return min(candidates, key=lambda n: len(n.changes), default=None)

    def _check(self, digest: str) -> str:
        """'' when the object is what was stored, else what is wrong with it."""
        return "" if self._is_fresh(digest) else self._rehash(digest)

    def _is_fresh(self, digest: str) -> bool:
        """Whether the object's stamps prove that its bytes are as they were stored."""
        recorded = rows.stamps_of(self._db, digest)
        now = stamps(self._objects.path(digest))
        return bool(now and recorded and is_fresh(now, recorded[0], recorded[1]))

    def _rehash(self, digest: str) -> str:
        measured = measure(self._objects.path(digest))
        problem = _unlike(measured, digest)
        if not problem:
            rows.restamp(self._db, measured)
        return problem

    def _quarantine(self, digest: str, problem: str) -> str:
        """No entry with this object is served again; where its bytes are kept."""
        with transaction(self._db):
            place = self._objects.quarantine(digest)
            rows.quarantine(self._db, digest, f"an artifact {problem}")
        return place

    def _commit(
        self, key: CacheKey, entry: rows.Entry, staged: Mapping[str, tuple[Measured, Path]]
    ) -> None:
        """Objects get their names and the entry its row, under one write lock."""
        with transaction(self._db):
            rows.put_key(self._db, key)
            for digest, (measured, folder) in staged.items():
                if self._check(digest):
                    self._objects.quarantine(digest)
                self._objects.publish(folder, digest)
                # Stamps from before the bytes were hashed: had they changed since, the first
                # hit would see it. For a copy, or an object that was there, it hashes once more.
                rows.put_object(self._db, measured)
            held = [
                (name, a.digest)
                for name, artifacts in entry.outputs.artifacts.items()
                for a in artifacts
                if a.digest in staged
            ]
            rows.put_entry(self._db, entry, held)


def _decision(key: CacheKey, result: Hit | Miss, run_id: str, task: str) -> CacheDecision:
    source = result if isinstance(result, Hit) else result.nearest
    return CacheDecision(
        run_id=run_id,
        task=task,
        decision="HIT" if isinstance(result, Hit) else "MISS",
        reason=result.reason
        if isinstance(result, Miss)
        else f"same key as run {result.run_id[:8]}",
        decided_at=datetime.now(UTC),
        key=key.digest,
        fingerprint=key.fingerprint,
        source_run_id=source.run_id if source else "",
        source_task=source.task if source else "",
        quarantined=isinstance(result, Miss) and result.quarantined,
        changes=source.changes if isinstance(source, Nearest) else (),
    )


def _unlike(measured: Measured, digest: str) -> str:
    """'' when the bytes are those of the digest, else what is wrong with them."""
    if measured.digest == ABSENT:
        return "is missing"
    return "" if measured.digest == digest else "is not what was stored (its bytes changed)"


def _measure(artifact: Artifact) -> Measured | None:
    path = local_path(artifact.uri)
    return None if path is None else measure(path)


def _place(place: Path | None, index: int) -> Path | None:
    """Where the artifact with this index goes; an output nearly always has one."""
    return place.with_name(f"{place.name}-{index}") if place and index else place


def _taken_out(entry: rows.Entry, name: str, problem: str, place: str) -> Quarantined:
    return Quarantined(entry.component, entry.run_id, entry.task, name, problem, place)


def _clear(place: Path) -> None:
    """Remove what an earlier attempt of the task left there."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
