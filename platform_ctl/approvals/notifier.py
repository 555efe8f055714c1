"""Telling people something they may want to act on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Notification:
    """``key`` names the event: the same key is sent once to each channel.

    ``priority`` is ntfy's: 1 lowest, 3 usual, 5 highest. ``tags`` are words or ntfy's names
    of emoji. ``click`` is the page to open, "" where there is none.
    """

    key: str
    title: str
    body: str
    priority: int = 3
    tags: tuple[str, ...] = ()
    click: str = ""


class Notifier(Protocol):
    def send(self, message: Notification) -> None:
        """Keep the message and try to deliver everything kept. Never raises for an endpoint
        that is down, and never takes more than a few seconds: a later call delivers."""
        ...

    def undelivered(self) -> int:
        """How many messages wait for an endpoint. Sends nothing."""
        ...

    def deliver(self) -> int:
        """Try to deliver what is kept; the number of messages that still wait."""
        ...
