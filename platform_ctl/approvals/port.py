"""Stores approval requests and answers; a request is decided once, also by concurrent callers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from platform_ctl.approvals.request import ApprovalRequest, Policy, Vote


class Approvals(Protocol):
    """Requests past their expiry are ``expired`` from then on, seen by every method.

    So is one that was asked for in the future: the clock was set back, and how
    long it has waited is not known.
    """

    @property
    def anyone(self) -> str:
        """Whom this target lets approve where the settings name nobody, in words."""
        ...

    def open(self, request: ApprovalRequest) -> ApprovalRequest:
        """Store a pending request; a pending one about the same subject is returned instead."""
        ...

    def get(self, request_id: str) -> ApprovalRequest:
        """By id or unique prefix, or ``latest``: the newest.

        Raises UnknownName, also for ``latest`` while a request of another model waits.
        """
        ...

    def list(self) -> Sequence[ApprovalRequest]:
        """Every request with its votes, newest first."""
        ...

    def vote(self, request_id: str, vote: Vote, policy: Policy | None = None) -> ApprovalRequest:
        """Add one person's answer: a rejection decides, so does the last approval needed.

        ``policy`` is the one in force now: how many approvals are needed, and
        whose earlier ones count, is what it and the request's own ask for
        together. Raises UnknownName, and AlreadyDecided unless the request is pending, or
        when this person has answered already.
        """
        ...

    def void(self, request_id: str, reason: str, *, release_id: str = "") -> ApprovalRequest:
        """Withdraw a pending or approved request: its subject changed, or ``release_id`` used
        it up. Anything else is returned as it is. Raises UnknownName."""
        ...

    def started(self, request_id: str, run_id: str) -> None:
        """Note the run that carries an approval out; the first one stays. Raises UnknownName."""
        ...
