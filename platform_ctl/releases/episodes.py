"""A stall is one event, however many requests it hits.

A machine that stands still for two seconds leaves every request of that time
unanswered. Counted one by one they look like independent failures, and a test
that takes them for such rolls a good canary back. Here unanswered requests are
grouped into episodes, each of which is one trial and one failure. A canary that
hangs for good still fails: a request that begins after an earlier one was given
up begins another episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from platform_ctl.serving.service import RequestObservation

SHARED_FROM_S = 0.5
"""Shorter episodes are refused connections: nobody stood still for them."""


@dataclass(frozen=True)
class Episode:
    """Unanswered requests that began before the first of them was given up."""

    start: float
    end: float
    """Seconds since the epoch: from the begin of the first request until it was given up."""
    requests: int


def episodes(seen: Sequence[RequestObservation]) -> list[Episode]:
    """The episodes among a revision's observations, in their order."""
    spans = sorted((o.at - o.latency_ms / 1e3, o.at) for o in seen if o.status == 0)
    merged: list[Episode] = []
    for start, end in spans:
        if merged and start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Episode(last.start, last.end, last.requests + 1)
        else:
            merged.append(Episode(start, end, 1))
    return merged


def is_shared(episode: Episode, beside: Sequence[RequestObservation]) -> bool:
    """Whether the other revision stood still in the same seconds: one of its answers, begun or
    given within the episode, took at least half as long as the episode."""
    length = episode.end - episode.start
    return length >= SHARED_FROM_S and any(
        o.latency_ms / 1e3 >= length / 2
        and o.at > episode.start
        and o.at - o.latency_ms / 1e3 < episode.end
        for o in beside
    )
