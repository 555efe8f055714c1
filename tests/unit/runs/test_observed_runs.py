"""Observers of runs, on an orchestrator that executes nothing."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from platform_ctl.errors import ConfigError, HomeBusy, PlatformError
from platform_ctl.runs.observed import ObservedRuns
from platform_ctl.runs.record import EventKind, Run, RunEvent, RunRequest, RunState
from tests.fakes.runs import FakeRuns

REQUEST = RunRequest(Path("demo.yaml"))
BUSY = HomeBusy("the run is still running", where="a run", fix="platform-ctl run list")


@dataclass
class Listener:
    """An observer that remembers what it heard, in order."""

    heard: list[tuple[str, str]] = field(default_factory=list)
    started_at: list[str | None] = field(default_factory=list)

    def observe(self, run: Run, event: RunEvent) -> None:
        self.heard.append((run.id, event.state))
        self.started_at.append(run.started_at)

    def ended(self, run: Run) -> None:
        self.heard.append((run.id, f"ended {run.state}"))

    def event(self, event: RunEvent) -> None:
        """Of who asked for the run."""
        self.heard.append(("caller", event.state))


def test_observers_hear_each_event_before_who_asked_and_then_the_end() -> None:
    listener = Listener()
    run = ObservedRuns(FakeRuns(), lambda: [listener]).run(REQUEST, listener.event)
    states = ["RUNNING", "SUCCEEDED"]
    told = [pair for state in states for pair in ((run.id, state), ("caller", state))]
    assert listener.heard == [*told, (run.id, "ended SUCCEEDED")]


def test_a_new_run_was_not_started_before_and_a_resumed_one_was() -> None:
    new, resumed, runs = Listener(), Listener(), FakeRuns(ends=RunState.FAILED)
    run = ObservedRuns(runs, lambda: [new]).run(REQUEST, new.event)
    ObservedRuns(runs, lambda: [resumed]).resume(run.id, resumed.event)
    assert set(new.started_at) == {None} and None not in resumed.started_at


@pytest.mark.parametrize(
    ("error", "ends", "end"),
    [
        (BUSY, RunState.FAILED, ["ended FAILED"]),
        (BUSY, None, []),
        (None, None, []),
    ],
    ids=["the engine fails", "the server goes away", "the run goes on"],
)
def test_only_a_run_that_has_ended_has_an_end(
    error: PlatformError | None, ends: RunState | None, end: list[str]
) -> None:
    listener, runs = Listener(), FakeRuns(ends=ends, error=error)
    with pytest.raises(HomeBusy) if error else contextlib.nullcontext():
        ObservedRuns(runs, lambda: [listener]).run(REQUEST, lambda event: None)
    assert [state for _, state in listener.heard if state.startswith("ended")] == end


def test_a_run_that_is_refused_is_not_observed() -> None:
    listener = Listener()
    with pytest.raises(HomeBusy):
        ObservedRuns(FakeRuns(refused=BUSY), lambda: [listener]).run(REQUEST, listener.event)
    assert listener.heard == []


def test_what_observers_need_is_not_needed_to_submit() -> None:
    """A secret of the catalog, for one, which a CI job that submits does not have."""
    observed = ObservedRuns(FakeRuns(), _no_observers)
    assert observed.submit(REQUEST).state is RunState.PENDING
    with pytest.raises(ConfigError):
        observed.run(REQUEST, lambda event: None)
    assert len(observed.list(-1)) == 1


def _no_observers() -> list[Listener]:
    raise ConfigError("no secret", where="setting iceberg_catalog", fix="export SECRET=...")


def test_a_run_that_is_only_submitted_or_watched_is_not_observed() -> None:
    listener = Listener()
    observed = ObservedRuns(FakeRuns(), lambda: [listener])
    run = observed.submit(REQUEST)
    assert [e.kind for e in observed.watch(run.id)] == [EventKind.RUN]
    assert listener.heard == []
