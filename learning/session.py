"""Start a fault, give hints, hear a cause, and check the repair."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from learning import lab as rules
from learning.lab import CAUSES, CheckResult, Session
from learning.port import Fault, Lab
from platform_ctl.errors import PreconditionMissing, unknown

RANDOM = "random"


def start(
    lab: Lab,
    faults: Mapping[str, Fault],
    name: str,
    progress: Callable[[str], None],
) -> Fault:
    """Break a fresh scratch home; the session's clock starts when it is broken.

    ``name``: a fault, or ``random``. Raises UnknownName, and what ``inject`` raises.
    """
    fault = _find(faults, name)
    lab.prepare(progress)
    progress("breaking it")
    session_id = uuid.uuid4().hex
    lab.mark(session_id)
    facts = fault.inject(lab)
    lab.save(Session(session_id, rules.seal(fault.name, session_id), _now(), facts))
    return fault


def current(lab: Lab, faults: Mapping[str, Fault]) -> tuple[Session, Fault]:
    """The session and its fault. Raises PreconditionMissing when there is none."""
    session = lab.session()
    name = rules.unseal(session, faults) if session else ""
    if session is None or not name:
        raise PreconditionMissing(
            "no fault was started here, or it was reset",
            where="fault lab",
            fix="platform-ctl lab start random",
        )
    return session, faults[name]


def hint(lab: Lab, faults: Mapping[str, Fault]) -> str:
    """The next hint, counted; "" when there are no more."""
    session, fault = current(lab, faults)
    text = rules.next_hint(session, fault.hints)
    if text:
        lab.save(replace(session, hints=session.hints + 1))
    return text


def check(lab: Lab, faults: Mapping[str, Fault], cause: str = "") -> CheckResult:
    """Look at the home, and at ``cause`` when one is named. Raises UnknownName for no cause."""
    session, fault = current(lab, faults)
    if cause and not session.cause:
        session = _hear(session, fault, cause)
        lab.save(session)
    marked = lab.marked()
    state = (
        fault.is_repaired(lab, session.facts)
        if marked == session.id
        else rules.RepairState(False, "another home")
    )
    result = rules.judge(session, home_session=marked, state=state, now=datetime.now(UTC))
    if result.solved and not session.solved_at:
        lab.save(replace(session, solved_at=_now()))
    return result


def _hear(session: Session, fault: Fault, cause: str) -> Session:
    word = rules.normalised(cause)
    if word not in CAUSES:
        raise unknown(
            f"{cause!r} is none of the causes",
            word,
            CAUSES,
            where="--cause",
            fix="platform-ctl lab causes",
        )
    if word == fault.cause:
        return replace(session, cause=word)
    return replace(session, wrong_causes=session.wrong_causes + 1)


def _find(faults: Mapping[str, Fault], name: str) -> Fault:
    if name == RANDOM:
        return faults[random.SystemRandom().choice(sorted(faults))]
    if name not in faults:
        raise unknown(
            f"there is no fault {name!r}",
            name,
            faults,
            where="fault lab",
            fix="platform-ctl lab list",
        )
    return faults[name]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
