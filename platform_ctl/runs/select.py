"""Which runs of a list somebody wants to see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from platform_ctl.runs.port import RunReader
from platform_ctl.runs.record import Run


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


def newest(runs: RunReader, selection: Selection, limit: int) -> Sequence[Run]:
    """At most ``limit`` runs that are selected, newest first, without tasks."""
    if selection.everything:
        return runs.list(limit)
    return [run for run, _ in zip(_selected(runs, selection), range(limit), strict=False)]


def _selected(runs: RunReader, selection: Selection) -> Iterator[Run]:
    return (run for run in runs.list(-1) if selection.wants(run))
