"""Weeks start Monday 00:00 UTC. Everything here counts in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

WEEK = timedelta(days=7)
WEEK_S = 7 * 86_400
_FIRST_MONDAY_S = 4 * 86_400
"""1970-01-05, the first Monday after the epoch."""

DORMANT_WEEKS = 26
"""A repository without a commit for this long is dormant: reported apart, not trained on."""


def monday_s(epoch_s: int) -> int:
    """The Monday 00:00 UTC at or before ``epoch_s`` (seconds since 1970)."""
    return epoch_s - (epoch_s - _FIRST_MONDAY_S) % WEEK_S


def monday(moment: datetime) -> datetime:
    """The Monday 00:00 UTC at or before ``moment`` (aware)."""
    return from_epoch(monday_s(int(moment.timestamp())))


def from_epoch(epoch_s: int) -> datetime:
    return datetime.fromtimestamp(epoch_s, tz=UTC)


def parse(iso: str) -> datetime:
    """An aware UTC datetime from ISO 8601."""
    return datetime.fromisoformat(iso).astimezone(UTC)
