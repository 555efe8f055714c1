"""The fault lab: a scratch home to break, and the faults that break it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from learning.lab import RepairState, Session


class Lab(Protocol):
    """A scratch home with one session at a time. Nothing outside it is ever touched."""

    def prepare(self, progress: Callable[[str], None]) -> None:
        """A home that works, in place of what is there. Ends what ran in the old one."""

    def clear(self) -> None:
        """End what runs in the home and remove it with its session."""

    def mark(self, session_id: str) -> None:
        """Write into the home which session it belongs to."""

    def marked(self) -> str:
        """The session of the home that is there; "" for a home without one."""

    def session(self) -> Session | None:
        """The session that was saved last."""

    def save(self, session: Session) -> None:
        """Keep it; whole or not at all."""


class Fault(Protocol):
    """One way to break a home. Attributes do not change."""

    @property
    def name(self) -> str: ...

    @property
    def symptom(self) -> str:
        """What somebody on call would hear."""

    @property
    def cause(self) -> str: ...

    @property
    def explanation(self) -> str:
        """Shown once the fault is solved."""

    @property
    def hints(self) -> tuple[str, ...]: ...

    @property
    def runbook(self) -> str: ...

    @property
    def inject(self) -> Callable[[Any], Mapping[str, Any]]:
        """Breaks the home; returns the facts that ``is_repaired`` needs."""

    @property
    def is_repaired(self) -> Callable[[Any, Mapping[str, Any]], RepairState]:
        """Looks at the home as it is now."""
