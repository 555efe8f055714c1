"""Approvals in the home's database: every decision is one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from platform_ctl.approvals.expiry import CLOCK_BACK, CLOCK_TOLERANCE, EXPIRED, at_moment, iso
from platform_ctl.approvals.find import LATEST, find_request, no_such_request
from platform_ctl.approvals.request import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    Policy,
    Subject,
    Vote,
    request_id,
)
from platform_ctl.approvals.vote import answered_already, decided, is_enough
from platform_ctl.home.state import connect, connect_reading, transaction

_LIST = "platform-ctl approval list"


class SqliteApprovals:
    """One instance may serve several threads: each call opens its own connection."""

    anyone = "every user of this machine"

    def __init__(
        self,
        database: Path,
        *,
        expires_h: float | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``expires_h``: what the settings say now; the earlier expiry of then and now holds."""
        self._database = database
        self._expires = None if expires_h is None else timedelta(hours=expires_h)
        self._clock = clock

    def open(self, request: ApprovalRequest) -> ApprovalRequest:
        subject = request.subject
        with self._writing() as db:
            db.execute(
                "INSERT INTO approvals (id, model, version, recipe, subject, subject_digest, "
                "state, requested_by, requested_at, expires_at, approvals_needed, approvers, "
                "self_approval) VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (
                    request.id,
                    request.model,
                    request.version,
                    request.recipe,
                    json.dumps(asdict(subject)),
                    subject.digest,
                    request.requested_by,
                    request.requested_at,
                    request.expires_at,
                    request.approvals_needed,
                    json.dumps(request.approvers),
                    request.self_approval,
                ),
            )
            row = db.execute(
                "SELECT * FROM approvals WHERE model = ? AND version = ? AND subject_digest = ? "
                "AND state = 'pending'",
                (request.model, request.version, subject.digest),
            ).fetchone()
            if row is not None:
                return self._request(db, row)
            taken = db.execute("SELECT count(*) FROM approvals").fetchone()[0]
        # Somebody asked the same under this id a moment ago, and it is decided already.
        return self.open(replace(request, id=request_id(request, taken)))

    def get(self, request_id: str) -> ApprovalRequest:
        if request_id == LATEST:
            return find_request(self.list(), request_id)
        with self._reading() as db:
            return self._request(db, _row(db, request_id))

    def list(self) -> Sequence[ApprovalRequest]:
        with self._reading() as db:
            rows = db.execute("SELECT * FROM approvals ORDER BY requested_at DESC, rowid DESC")
            return [self._request(db, row) for row in rows.fetchall()]

    def vote(self, request_id: str, vote: Vote, policy: Policy | None = None) -> ApprovalRequest:
        with self._writing() as db:
            request = self._request(db, _row(db, request_id))
            if request.state is not ApprovalState.PENDING:
                raise decided(request)
            if any(v.approver == vote.approver for v in request.votes):
                raise answered_already(request, vote.approver)
            db.execute(
                "INSERT INTO approval_votes VALUES (?, ?, ?, ?, ?)",
                (request.id, vote.approver, vote.answer, vote.reason, vote.at),
            )
            voted = self._request(db, _row(db, request.id))
            if vote.answer is Answer.REJECT:
                _decide(db, request.id, ApprovalState.REJECTED, vote.at, vote.reason)
            elif is_enough(voted, policy):
                _decide(db, request.id, ApprovalState.APPROVED, vote.at, vote.reason)
            return self._request(db, _row(db, request.id))

    def void(self, request_id: str, reason: str, *, release_id: str = "") -> ApprovalRequest:
        with self._writing() as db:
            request = self._request(db, _row(db, request_id))
            if request.state in (ApprovalState.PENDING, ApprovalState.APPROVED):
                _decide(db, request.id, ApprovalState.VOID, iso(self._clock()), reason)
                db.execute(
                    "UPDATE approvals SET release_id = ? WHERE id = ?", (release_id, request.id)
                )
            return self._request(db, _row(db, request.id))

    def started(self, request_id: str, run_id: str) -> None:
        with self._writing() as db:
            db.execute(
                "UPDATE approvals SET promotion_id = ? WHERE id = ? AND promotion_id = ''",
                (run_id, _row(db, request_id)["id"]),
            )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        db = connect_reading(self._database)
        try:
            yield db
        finally:
            db.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that first lets overdue requests expire: whoever waited for the lock is
        not in time because of it. That they have expired is kept, also where the rest is refused:
        a clock that is set back afterwards revives nothing."""
        db = connect(self._database)
        try:
            with transaction(db):
                self._expire(db)
            with transaction(db):
                self._expire(db)
                yield db
        finally:
            db.close()

    def _overdue(self, statement: str) -> tuple[str, Sequence[str]]:
        """``statement`` for what is pending and should not be, and its values."""
        now = self._clock()
        asked_before = "" if self._expires is None else iso(now - self._expires)
        return (
            f"{statement} WHERE state = 'pending' AND "
            "(expires_at <= ? OR requested_at <= ? OR requested_at > ?)",
            (iso(now), asked_before, iso(now + CLOCK_TOLERANCE)),
        )

    def _expire(self, db: sqlite3.Connection) -> None:
        statement, values = self._overdue(
            "UPDATE approvals SET state = 'expired', decided_at = min(expires_at, ?), "
            "reason = iif(requested_at > ?, ?, ?)"
        )
        now, _, future = values
        db.execute(statement, (now, future, CLOCK_BACK, EXPIRED, *values))

    def _request(self, db: sqlite3.Connection, row: sqlite3.Row) -> ApprovalRequest:
        """As it is stored; a pending one with the expiry that holds now, and expired if it has."""
        return at_moment(_stored(db, row), self._clock(), self._expires)


def _decide(
    db: sqlite3.Connection, request_id: str, state: ApprovalState, at: str, reason: str
) -> None:
    db.execute(
        "UPDATE approvals SET state = ?, decided_at = ?, reason = ? WHERE id = ?",
        (state, at, reason, request_id),
    )


def _row(db: sqlite3.Connection, request_id: str) -> sqlite3.Row:
    rows = db.execute(
        "SELECT * FROM approvals WHERE substr(id, 1, ?) = ?", (len(request_id), request_id)
    )
    matching = rows.fetchall()
    if len(matching) == 1 and request_id:
        return matching[0]
    ids = [r["id"] for r in db.execute("SELECT id FROM approvals ORDER BY requested_at DESC")]
    raise no_such_request(request_id, ids, where="approvals of this home")


def _stored(db: sqlite3.Connection, row: sqlite3.Row) -> ApprovalRequest:
    votes = db.execute(
        "SELECT approver, answer, reason, at FROM approval_votes WHERE approval_id = ? "
        "ORDER BY at, rowid",
        (row["id"],),
    )
    return ApprovalRequest(
        id=row["id"],
        model=row["model"],
        version=row["version"],
        recipe=row["recipe"],
        subject=Subject(**json.loads(row["subject"])),
        state=ApprovalState(row["state"]),
        requested_by=row["requested_by"],
        requested_at=row["requested_at"],
        expires_at=row["expires_at"],
        approvals_needed=row["approvals_needed"],
        votes=tuple(Vote(v[0], Answer(v[1]), v[2], v[3]) for v in votes.fetchall()),
        decided_at=row["decided_at"],
        reason=row["reason"],
        release_id=row["release_id"],
        approvers=tuple(json.loads(row["approvers"])),
        self_approval=bool(row["self_approval"]),
        promotion_id=row["promotion_id"],
    )
