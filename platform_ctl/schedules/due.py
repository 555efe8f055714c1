"""Which slot of a schedule is next, and whether it is due: what KFP 2.17's controller computes.

Behaviour of ``ScheduledWorkflow.GetNextScheduledEpoch`` and of the two schedules below it
(backend/src/crd/controller/scheduledworkflow/util); ``tests/data/cron/kfp`` holds answers of
the functions themselves. Moments are whole seconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from platform_ctl.schedules import cron


class CatchUp(StrEnum):
    """What happens with slots that were missed, also while the schedule was disabled."""

    LATEST = "latest"
    """The newest one runs; KFP's ``no_catchup``."""
    ALL = "all"
    """Each of them runs, one after the other."""


@dataclass(frozen=True)
class Timing:
    """When a schedule fires: by ``cron`` or, where that is empty, each ``interval_s`` seconds."""

    cron: str = ""
    interval_s: int = 0
    start_at: int | None = None
    """A cron slot is later; the first slot of an interval is one interval later."""
    end_at: int | None = None
    """Inclusive."""
    catch_up: CatchUp = CatchUp.LATEST

    def shortest_gap_s(self) -> int:
        """The least time between two slots."""
        return cron.parse(self.cron).shortest_gap_s() if self.cron else self.interval_s


def next_slot(timing: Timing, *, last: int | None, created_at: int, now: int) -> int | None:
    """The slot that fires next, in the past when it is late; None when there is none any more.

    ``last`` is the slot that fired last. Under ``latest`` slots between the first missed
    one and the newest missed one are left out; a late interval is moved to ``now``.
    """
    begin = last
    if begin is None:
        begin = created_at if timing.start_at is None else timing.start_at
    if timing.cron:
        return _next_cron(timing, begin, now)
    return _next_interval(timing, begin, now)


def due_slot(
    timing: Timing, *, last: int | None, created_at: int, now: int, active: int, limit: int
) -> tuple[int | None, bool]:
    """The next slot, and whether it is held: due while ``active`` runs fill the ``limit``.

    None when nothing is due.
    """
    slot = next_slot(timing, last=last, created_at=created_at, now=now)
    if slot is None or slot > now:
        return None, False
    return slot, active >= limit


def upcoming(timing: Timing, *, last: int | None, created_at: int, now: int) -> Iterator[int]:
    """Slots from the next one on, as an engine that is never late fires them."""
    slot = next_slot(timing, last=last, created_at=created_at, now=now)
    while slot is not None:
        yield slot
        slot = next_slot(timing, last=slot, created_at=created_at, now=slot)


def at_once(timing: Timing, *, last: int | None, created_at: int, now: int, limit: int) -> int:
    """How many slots an engine that begins at ``now`` fires at once, counted up to ``limit``."""
    count = 0
    for _ in range(limit):
        slot = next_slot(timing, last=last, created_at=created_at, now=now)
        if slot is None or slot > now:
            break
        count, last = count + 1, slot
    return count


def between(timing: Timing, *, after: int, until: int, limit: int) -> list[int]:
    """The slots later than ``after`` and not later than ``until``, at most ``limit``."""
    if timing.cron:
        slots: Iterator[int] = _cron_slots(timing, after)
    else:
        slots = iter(range(after + timing.interval_s, until + 1, timing.interval_s))
    end = until if timing.end_at is None else min(until, timing.end_at)
    starts = []
    for slot in islice(slots, limit):
        if slot > end:
            break
        starts.append(slot)
    return starts


def nearest(timing: Timing, *, last: int | None, created_at: int, now: int) -> tuple[int, int]:
    """Seconds since the slot before ``now`` and until the one after it; a day where there is none.

    Of a cron expression by the clock alone, of an interval by its phase.
    """
    far = cron.DAY_S
    if timing.cron:
        parsed = cron.parse(timing.cron)
        before, later = parsed.until(now), parsed.after(now)
        return (
            far if before is None else now - before,
            far if later is None else later - now,
        )
    begin = last
    if begin is None:
        begin = created_at if timing.start_at is None else timing.start_at
    if begin > now:
        return far, begin - now
    passed = (now - begin) % timing.interval_s
    return passed, timing.interval_s - passed


def _next_cron(timing: Timing, begin: int, now: int) -> int | None:
    if timing.start_at is not None:
        begin = max(begin, timing.start_at)
    parsed = cron.parse(timing.cron)
    first = parsed.after(begin)
    if first is None or (timing.end_at is not None and timing.end_at < first):
        return None
    if timing.catch_up is CatchUp.ALL:
        return first
    newest = parsed.until(now if timing.end_at is None else min(now, timing.end_at))
    return first if newest is None else max(first, newest)


def _next_interval(timing: Timing, begin: int, now: int) -> int | None:
    if timing.start_at is not None and timing.start_at > begin:
        slot = timing.start_at
    else:
        slot = begin + timing.interval_s
        if timing.end_at is not None and timing.end_at < slot:
            return None
    if timing.catch_up is CatchUp.ALL or now < slot + timing.interval_s:
        return slot
    return now if timing.end_at is None else min(now, timing.end_at)


def _cron_slots(timing: Timing, after: int) -> Iterator[int]:
    parsed = cron.parse(timing.cron)
    slot = parsed.after(after)
    while slot is not None:
        yield slot
        slot = parsed.after(slot)
