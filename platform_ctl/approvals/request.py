"""A human's answer, bound to exactly what was shown.

A request names the digests of everything the answer depends on. When one of
them changes, the answer is void: it was given to something else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum

NO_CHAMPION = ""
SELF = "self"
"""The champion, seen by the version that has become it."""


class ApprovalState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Nobody answered in time, which means no."""
    VOID = "void"
    """What was asked about is not what there is now, or the answer was used up by a release
    that was rolled back."""


class Answer(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True)
class Subject:
    """What an answer is about: digests, a snapshot id, and the champion as ``version digest``."""

    model: str
    evaluation: str
    data_snapshot: str
    canary_plan: str
    champion: str

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()}"

    def changes(self, now: Subject) -> list[str]:
        """Sentences on what differs; a version that became the champion has not changed."""
        sentences = []
        for field in fields(self):
            was, is_now = getattr(self, field.name), getattr(now, field.name)
            if was == is_now or (field.name == "champion" and is_now == SELF):
                continue
            name = field.name.replace("_", " ")
            sentences.append(f"the {name} was {was or 'none'} and is {is_now or 'none'}")
        return sentences


@dataclass(frozen=True)
class Vote:
    approver: str
    answer: Answer
    reason: str
    at: str


@dataclass(frozen=True)
class Policy:
    """Who may say yes, and how many have to."""

    approvers: frozenset[str] | None = None
    """None: anybody who uses this machine."""
    self_approval: bool = True
    """Whether who asked may approve."""
    approvals_needed: int = 1

    def stricter(self, other: Policy) -> Policy:
        """What satisfies both."""
        lists = [p.approvers for p in (self, other) if p.approvers is not None]
        return Policy(
            frozenset.intersection(*lists) if lists else None,
            self.self_approval and other.self_approval,
            max(self.approvals_needed, other.approvals_needed),
        )

    def allows(self, approver: str, requested_by: str) -> bool:
        """Whether this person's yes counts."""
        named = self.approvers is None or approver in self.approvers
        return named and (self.self_approval or approver != requested_by)


@dataclass(frozen=True)
class ApprovalRequest:
    """Times are UTC, ISO 8601. ``reason`` is the deciding one, or why it is void."""

    id: str
    model: str
    version: str
    recipe: str
    subject: Subject
    state: ApprovalState
    requested_by: str
    requested_at: str
    expires_at: str
    approvals_needed: int = 1
    votes: tuple[Vote, ...] = ()
    decided_at: str = ""
    reason: str = ""
    release_id: str = ""
    """The release that used the approval up: it was rolled back, and the answer goes with it."""
    approvers: tuple[str, ...] = ()
    """Who could approve when it was asked; empty: anybody."""
    self_approval: bool = True
    """Whether who asked could approve when it was asked."""
    promotion_id: str = ""
    """The run that the approval started; "" until it is known to have been submitted."""

    @property
    def policy(self) -> Policy:
        """The one in force when it was asked."""
        named = frozenset(self.approvers) if self.approvers else None
        return Policy(named, self.self_approval, self.approvals_needed)

    @property
    def spent(self) -> bool:
        return bool(self.release_id)

    @property
    def reference(self) -> str:
        return f"{self.model}/{self.version}"

    def decided_by(self) -> str:
        """Whoever answered; "" when nobody did."""
        return ", ".join(v.approver for v in self.votes)


def request_id(request: ApprovalRequest, earlier: int) -> str:
    """Eight hexadecimal digits; the same for everybody who asks this when it was asked
    ``earlier`` times before."""
    content = f"{request.reference} {request.subject.digest} {earlier}"
    return hashlib.sha256(content.encode()).hexdigest()[:8]
