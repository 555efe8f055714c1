"""The engine of this machine: looks what is due, claims the slot, submits the run.

A slot is claimed in the database before its run is submitted, and the run is submitted by
a key made of schedule and slot: after a kill at any point the next look submits the same
run again, which is the same run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from platform_ctl.errors import PlatformError
from platform_ctl.folders import make_private
from platform_ctl.home.files import replace as write_file
from platform_ctl.runs.record import Run, RunRequest, RunState
from platform_ctl.schedules import cron, due
from platform_ctl.schedules.document import Spec, VersionPolicy
from platform_ctl.schedules.local.store import LocalSchedules, Start
from platform_ctl.schedules.port import RecurringRun

MAX_POLL_S = 15.0
"""The longest sleep: a clock that jumps or a machine that wakes is seen after this."""
MIN_POLL_S = 0.2
_MAX_STARTS = 100
"""Of one schedule in one look."""
_MISSED_LIMIT = 10_000
SLOT = "slot"
"""Reason of a start by the clock."""


@dataclass(frozen=True)
class StartedSlot:
    """A run that was started, or was not."""

    key: str
    slot: int | None
    reason: str
    run_id: str = ""
    error: str = ""


@dataclass(frozen=True)
class RunPorts:
    """What the engine asks of the room of runs."""

    submit: Callable[[RunRequest], Run]
    state: Callable[[str], RunState | None]
    """None for a run that is gone."""
    newest: Callable[[str], Path]
    """The compiled file of a pipeline as it is now."""


class ScheduleEngine:
    """One look at a time; ``clock`` gives whole seconds since the epoch."""

    def __init__(
        self, store: LocalSchedules, runs: RunPorts, folder: Path, clock: Callable[[], int]
    ) -> None:
        self._store, self._runs, self._folder, self._clock = store, runs, folder, clock

    def look(self) -> list[StartedSlot]:
        """Start what is due now; what was started."""
        self._store.beat()
        fired = self.settle()
        for run in self._store.list():
            if run.enabled and run.spec is not None and run.spec.timing is not None:
                fired.extend(self._fire(run, run.spec))
        return fired

    def wait_s(self) -> float:
        """How long until the next look."""
        now, nearest = self._clock(), MAX_POLL_S
        for run in self._store.list():
            if run.enabled and run.spec is not None and run.spec.timing is not None:
                slot = due.next_slot(
                    run.spec.timing,
                    last=self._store.last_slot(run.id),
                    created_at=run.created_at,
                    now=now,
                )
                if slot is not None:
                    nearest = min(nearest, slot - now)
        return max(MIN_POLL_S, nearest)

    def start(self, start: Start) -> StartedSlot:
        """Claim and submit one start; again after a kill. Raises what submitting raises."""
        self._store.claim(start)
        return self._submit(start)

    def active(self, key: str) -> int:
        """Runs of a schedule that have not ended, over its versions and however started."""
        return sum(1 for start in self._store.open_starts() if start.key == key)

    def settle(self) -> list[StartedSlot]:
        """Submit what a kill has left claimed, and note which runs have ended."""
        fired = []
        for start in self._store.open_starts():
            if not start.run_id:
                fired.append(self._submitted(start))
                continue
            state = self._runs.state(start.run_id)
            if state is None or state.final:
                self._store.ended(start.submission, state.value if state else "deleted")
        return fired

    # ---- inside -----------------------------------------------------------

    def _fire(self, run: RecurringRun, spec: Spec) -> Iterator[StartedSlot]:
        assert spec.timing is not None
        last = self._store.last_slot(run.id)
        for _ in range(_MAX_STARTS):
            now = self._clock()
            slot, held = due.due_slot(
                spec.timing,
                last=last,
                created_at=run.created_at,
                now=now,
                active=self.active(spec.key),
                limit=spec.max_concurrency,
            )
            if slot is None:
                return
            if held:
                self._store.count(spec.key, "held", "max_concurrency", slot)
                return
            self._count_missed(run, spec, last, slot)
            last = slot
            start = Start(
                f"schedule:{spec.key}:{slot}", spec.key, slot, run.id, SLOT, cron.utc(slot), now
            )
            if self._store.claim(start):
                yield self._submitted(start)

    def _count_missed(self, run: RecurringRun, spec: Spec, last: int | None, slot: int) -> None:
        assert spec.timing is not None
        begin = last if last is not None else spec.timing.start_at or run.created_at
        passed = due.between(spec.timing, after=begin, until=slot - 1, limit=_MISSED_LIMIT)
        if passed and spec.timing.catch_up is due.CatchUp.LATEST:
            self._store.count(spec.key, "missed", "late", slot, len(passed))

    def _submitted(self, start: Start) -> StartedSlot:
        """Submit; what cannot be started is noted as ended, so that it holds nothing back."""
        try:
            return self._submit(start)
        except PlatformError as exc:
            if not exc.retryable:
                self._store.ended(start.submission, RunState.FAILED.value)
            return StartedSlot(start.key, start.slot, start.reason, error=f"{exc.what} ({exc.id})")

    def _submit(self, start: Start) -> StartedSlot:
        spec = self._store.get_spec(start.recurring_run_id)
        at = start.slot if start.slot is not None else start.claimed_at
        run = self._runs.submit(
            RunRequest(
                pipeline=self._compiled(start, spec),
                parameters=spec.parameters,
                name=f"{spec.name}-{cron.utc(at)}",
                idempotency_key=start.submission,
                scheduled_at=cron.utc(at),
            )
        )
        self._store.submitted(start.submission, run.id)
        return StartedSlot(start.key, start.slot, start.reason, run.id)

    def _compiled(self, start: Start, spec: Spec) -> Path:
        """The pinned IR as a file, or the newest one."""
        if spec.version is VersionPolicy.LATEST:
            return self._runs.newest(spec.pipeline)
        data = self._store.compiled(start.recurring_run_id)
        file = self._folder / f"{hashlib.sha256(data).hexdigest()}.yaml"
        if not file.is_file():
            make_private(file.parent)
            write_file(file, data)
        return file
