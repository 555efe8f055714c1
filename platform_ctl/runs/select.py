"""Selects runs of a list by pipeline, state, verdict and age."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from platform_ctl.errors import NothingYet, UnknownName
from platform_ctl.runs.port import RunReader
from platform_ctl.runs.record import Run

_AT_A_TIME = 20
"""Runs whose verdicts are read together."""


@dataclass(frozen=True)
class Selection:
    """What is empty or None selects everything."""

    pipeline: str = ""
    states: frozenset[str] = frozenset()
    """RunState values."""
    verdict: str = ""
    """At least one verdict of the run is this one."""
    created_after: datetime | None = None

    @property
    def everything(self) -> bool:
        return self == Selection()

    def wants(self, run: Run) -> bool:
        return (
            self.pipeline in ("", run.pipeline)
            and (not self.states or run.state in self.states)
            and (not self.verdict or any(v.verdict == self.verdict for v in run.verdicts))
            and (
                self.created_after is None
                or datetime.fromisoformat(run.created_at) >= self.created_after
            )
        )


def find(runs: RunReader, run_id: str) -> Run | None:
    """A run by its id; None for one that is gone."""
    with contextlib.suppress(UnknownName, NothingYet):
        return runs.get(run_id)
    return None


def newest(runs: RunReader, selection: Selection, limit: int) -> Sequence[Run]:
    """At most ``limit`` runs that are selected, newest first, without tasks."""
    if selection.everything:
        return runs.list(limit)
    return list(islice(_selected(runs, selection), None if limit < 0 else limit))


def _selected(runs: RunReader, selection: Selection) -> Iterator[Run]:
    """Verdicts cost more to read than all the rest, and are asked for last."""
    others = replace(selection, verdict="")
    matching = [run for run in runs.list(-1) if others.wants(run)]
    if not selection.verdict:
        yield from matching
        return
    for begin in range(0, len(matching), _AT_A_TIME):
        for run in runs.outcomes(matching[begin : begin + _AT_A_TIME]):
            if selection.wants(run):
                yield run
