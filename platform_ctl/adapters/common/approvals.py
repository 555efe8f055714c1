"""Approvals in the home's database: every decision is one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from platform_ctl.adapters.common.state import connect, transaction
from platform_ctl.domain.approvals import Answer, ApprovalRequest, ApprovalState, Subject, Vote
from platform_ctl.errors import AlreadyDecided, UnknownName

EXPIRED = "nobody answered in time"
_LIST = "platform-ctl approval list"


class SqliteApprovals:
    """One instance may serve several threads: each call opens its own connection."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def open(self, request: ApprovalRequest) -> ApprovalRequest:
        subject = request.subject
        with self._writing() as db:
            db.execute(
                "INSERT INTO approvals (id, model, version, recipe, subject, subject_digest, "
                "state, requested_by, requested_at, expires_at, approvals_needed) "
                "VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?) ON CONFLICT DO NOTHING",
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
                ),
            )
            row = db.execute(
                "SELECT * FROM approvals WHERE model = ? AND version = ? AND subject_digest = ? "
                "AND state = 'pending'",
                (request.model, request.version, subject.digest),
            ).fetchone()
            return _request(db, row)

    def get(self, request_id: str) -> ApprovalRequest:
        with self._writing() as db:
            return _request(db, _row(db, request_id))

    def list(self) -> Sequence[ApprovalRequest]:
        with self._writing() as db:
            rows = db.execute("SELECT * FROM approvals ORDER BY requested_at DESC, rowid DESC")
            return [_request(db, row) for row in rows.fetchall()]

    def vote(self, request_id: str, vote: Vote) -> ApprovalRequest:
        with self._writing() as db:
            request = _request(db, _row(db, request_id))
            if request.state is not ApprovalState.PENDING:
                raise decided(request)
            if any(v.approver == vote.approver for v in request.votes):
                raise AlreadyDecided(
                    f"{vote.approver} has answered request {request.id} already; "
                    "it needs a second person",
                    where=f"approval {request.id}",
                    fix=f"platform-ctl approval show {request.id}",
                )
            db.execute(
                "INSERT INTO approval_votes VALUES (?, ?, ?, ?, ?)",
                (request.id, vote.approver, vote.answer, vote.reason, vote.at),
            )
            approvals = 1 + sum(v.answer is Answer.APPROVE for v in request.votes)
            if vote.answer is Answer.REJECT:
                _decide(db, request.id, ApprovalState.REJECTED, vote.at, vote.reason)
            elif approvals >= request.approvals_needed:
                _decide(db, request.id, ApprovalState.APPROVED, vote.at, vote.reason)
            return _request(db, _row(db, request.id))

    def void(self, request_id: str, reason: str, *, release_id: str = "") -> ApprovalRequest:
        with self._writing() as db:
            request = _request(db, _row(db, request_id))
            if request.state in (ApprovalState.PENDING, ApprovalState.APPROVED):
                _decide(db, request.id, ApprovalState.VOID, _now(), reason)
                db.execute(
                    "UPDATE approvals SET release_id = ? WHERE id = ?", (release_id, request.id)
                )
            return _request(db, _row(db, request.id))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that first lets overdue requests expire."""
        db = connect(self._database)
        try:
            overdue = db.execute(
                "SELECT 1 FROM approvals WHERE state = 'pending' AND expires_at <= ?", (_now(),)
            ).fetchone()
            if overdue:
                db.execute(
                    "UPDATE approvals SET state = 'expired', decided_at = expires_at, reason = ? "
                    "WHERE state = 'pending' AND expires_at <= ?",
                    (EXPIRED, _now()),
                )
            with transaction(db):
                yield db
        finally:
            db.close()


def decided(request: ApprovalRequest) -> AlreadyDecided:
    """The error that says who answered, when, and what."""
    who = f" by {request.decided_by()}" if request.votes else ""
    return AlreadyDecided(
        f"request {request.id} is {request.state}{who} since {request.decided_at}: "
        f"{request.reason}",
        where=f"{request.reference}, approval {request.id}",
        fix=f"platform-ctl approval request {request.reference}",
    )


def _decide(
    db: sqlite3.Connection, request_id: str, state: ApprovalState, at: str, reason: str
) -> None:
    db.execute(
        "UPDATE approvals SET state = ?, decided_at = ?, reason = ? WHERE id = ?",
        (state, at, reason, request_id),
    )


def _row(db: sqlite3.Connection, request_id: str) -> sqlite3.Row:
    if request_id == "latest":
        rows = db.execute("SELECT * FROM approvals ORDER BY requested_at DESC, rowid DESC LIMIT 1")
    else:
        rows = db.execute(
            "SELECT * FROM approvals WHERE substr(id, 1, ?) = ?", (len(request_id), request_id)
        )
    found = rows.fetchall()
    if len(found) == 1 and request_id:
        return found[0]
    what = f"{len(found)} requests begin with" if found else "there is no approval request"
    raise UnknownName(f"{what} {request_id!r}", where="approval", fix=_LIST)


def _request(db: sqlite3.Connection, row: sqlite3.Row) -> ApprovalRequest:
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
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
