"""The fault lab's rules: what a session is, and when a fault counts as solved.

Solved means both: the cause was named, and the home in which the fault was
injected works again. A fresh home, or one copied back, is another home.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

MAX_WRONG_CAUSES = 2
"""A third guess is no diagnosis any more."""

GREEN_RUN = "green-run"
"""Family: the run succeeded, and its model is not where it should be."""

CAUSES: Mapping[str, str] = {
    "alias-moved": "somebody moved a registry alias by hand",
    "approval-void": "what the approval was bound to has changed since it was asked for",
    "cache-poisoned": "stored bytes of a cached output were changed after they were stored",
    "condition-false": "the pipeline's condition can never be true, whatever the gate says",
    "disk-full": "there was no room left to write the result",
    "events-lost": "lineage events of a step were never written, or were lost",
    "feature-expression": "a feature's expression names what does not exist",
    "future-seen": "training rows count commits that were not available yet",
    "gate-ceiling": "a threshold of the gate was set to what no model reaches",
    "gate-loosened": "thresholds of the gate were widened until a bad model passed",
    "golden-changed": "the golden set's file is not the one that was pinned",
    "no-data": "nothing new was ingested, so there was nothing to learn",
    "registry-lost": "the registry's database was deleted after the registration",
    "stale-lock": "trials wait for a lock whose owner is dead",
    "wrong-registry": "the run registered the model in another registry",
}
"""What a learner may name. Some are the cause of no fault."""


@dataclass(frozen=True)
class RepairState:
    """Whether a fault is repaired, and the one sentence that says what is still wrong."""

    repaired: bool
    why: str


@dataclass(frozen=True)
class Session:
    """One attempt at one fault. The fault's name is sealed: nobody reads it by accident."""

    id: str
    seal: str
    started_at: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What ``inject`` left behind for ``is_repaired``: ids of runs and versions, pids."""
    hints: int = 0
    wrong_causes: int = 0
    cause: str = ""
    """The right one, once it was named."""
    solved_at: str = ""


@dataclass(frozen=True)
class CheckResult:
    """What ``lab check`` answers."""

    solved: bool
    repaired: bool
    cause_named: bool
    elapsed_s: float
    hints: int
    wrong_causes: int
    notes: tuple[str, ...]


def seal(fault: str, session_id: str) -> str:
    """The fault's name as a digest that only a list of all names can undo."""
    return hashlib.sha256(f"{session_id}:{fault}".encode()).hexdigest()


def unseal(session: Session, names: Iterable[str]) -> str:
    """The fault of a session; "" when none of ``names`` is it."""
    return next((n for n in names if seal(n, session.id) == session.seal), "")


def normalised(word: str) -> str:
    """``Registry lost`` and ``registry_lost`` are ``registry-lost``."""
    return re.sub(r"[\s_]+", "-", word.strip().lower())


def judge(session: Session, *, home_session: str, state: RepairState, now: datetime) -> CheckResult:
    """Hold the home's mark, the repaired state and the named cause against the session.

    ``home_session``: the mark that the home carries; another home has another one.
    """
    same_home = home_session == session.id
    notes = []
    if not same_home:
        notes.append("this is not the home in which the fault was injected: repair that one")
    elif not state.repaired:
        notes.append(f"not repaired: {state.why}")
    if session.wrong_causes > MAX_WRONG_CAUSES:
        notes.append("too many guesses: start again")
    elif not session.cause:
        notes.append("the cause is not named yet")
    end = datetime.fromisoformat(session.solved_at) if session.solved_at else now
    named = bool(session.cause) and session.wrong_causes <= MAX_WRONG_CAUSES
    return CheckResult(
        solved=not notes,
        repaired=same_home and state.repaired,
        cause_named=named,
        elapsed_s=(end - datetime.fromisoformat(session.started_at)).total_seconds(),
        hints=session.hints,
        wrong_causes=session.wrong_causes,
        notes=tuple(notes),
    )


def next_hint(session: Session, hints: Sequence[str]) -> str:
    """The hint after those that were given; "" when there are no more."""
    return hints[session.hints] if session.hints < len(hints) else ""
