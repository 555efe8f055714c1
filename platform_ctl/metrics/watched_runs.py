"""Metrics of runs whose target keeps no totals: what has ended since this exporter started.

KFP has no counters of its own, and forgets a run that is pruned. A counter that begins with the
exporter is what Prometheus expects of a process; whoever ended while none was there is not counted.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import product

from platform_ctl.metrics import catalogue as metrics
from platform_ctl.metrics.catalogue import Sample
from platform_ctl.metrics.home import seconds
from platform_ctl.runs.budget import Costs, LedgerEntry
from platform_ctl.runs.port import RunReader
from platform_ctl.runs.record import Run, RunState

NEWEST = 50
"""Runs that a scrape looks at: one answer of KFP. More than these never end between two scrapes."""
BOUNDS_S = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400, float("inf"))
"""Of the histogram of tasks, as in migration 071."""
_ENDS = tuple(state.value for state in RunState if state.final)
_OPEN = tuple(state.value for state in RunState if not state.final)


class WatchedRunMetrics:
    """Implements ``metrics.port.Metrics``. The first scrape counts nothing: what had ended before
    is known from then on."""

    name = "runs"

    def __init__(self, runs: RunReader, costs: Costs) -> None:
        self._runs, self._costs = runs, costs
        self._known: set[str] | None = None
        self._pipelines: set[str] = set()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._tasks: Counter[tuple[str, str, str]] = Counter()
        self._verdicts: Counter[tuple[str, str, str]] = Counter()
        self._cpu_s: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._money: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._wall_s: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._in_buckets: Counter[tuple[str, str, float]] = Counter()
        self._one_at_a_time = threading.Lock()

    def samples(self, now: float) -> Iterator[Sample]:
        """Raises KfpUnavailable."""
        with self._one_at_a_time:
            listed = self._runs.list(NEWEST)
            self._pipelines |= {run.pipeline for run in listed}
            ended = [run for run in listed if run.state.final]
            self._count(ended)
            yield from self._of_runs(listed, ended)
            yield from self._of_tasks()
            yield from self._of_costs()

    def _count(self, ended: Sequence[Run]) -> None:
        """A run that is tried again has not ended meanwhile, and ends again."""
        ids = {run.id for run in ended}
        self._known = ids if self._known is None else self._known & ids
        for run_id in ids - self._known:
            self._add(self._runs.get(run_id), self._costs.entries(run_id))
            self._known.add(run_id)

    def _add(self, run: Run, entries: Sequence[LedgerEntry]) -> None:
        self._ended[run.pipeline, run.state.value] += 1
        for task in run.tasks:
            self._tasks[run.pipeline, task.path, task.state.value] += 1
            if task.attempts and task.state.final:
                wall_s = task.usage.wall_s
                self._wall_s[run.pipeline, task.path] += wall_s
                bound = BOUNDS_S[bisect_left(BOUNDS_S, wall_s)]
                self._in_buckets[run.pipeline, task.path, bound] += 1
        for verdict in run.verdicts:
            self._verdicts[run.pipeline, verdict.task, verdict.verdict] += 1
        for entry in entries:
            if not entry.saved_by_cache:
                self._cpu_s[run.pipeline, entry.kind] += entry.cpu_s
                self._money[run.pipeline, entry.kind] += entry.money

    def _of_runs(self, listed: Sequence[Run], ended: Sequence[Run]) -> Iterator[Sample]:
        opened = Counter((r.pipeline, r.state.value) for r in listed if not r.state.final)
        for key in product(sorted(self._pipelines), _OPEN):
            yield metrics.RUNS_OPEN.of(*key, value=opened[key])
        for key in product(sorted(self._pipelines), _ENDS):
            yield metrics.RUNS.of(*key, value=self._ended[key])
        last = {(run.pipeline, run.state.value): run for run in reversed(ended)}
        for key, run in sorted(last.items()):
            if run.ended_at:
                yield metrics.RUN_LAST_END.of(*key, value=seconds(run.ended_at))
            if run.duration_s is not None:
                yield metrics.RUN_LAST_DURATION.of(*key, value=run.duration_s)

    def _of_tasks(self) -> Iterator[Sample]:
        for of_task, count in sorted(self._tasks.items()):
            yield metrics.TASKS.of(*of_task, value=count)
        for task, wall_s in sorted(self._wall_s.items()):
            counts = [(bound, self._in_buckets[*task, bound]) for bound in BOUNDS_S]
            yield metrics.TASK_DURATION.of(*task, value=metrics.cumulative(counts, wall_s))
        for verdict, count in sorted(self._verdicts.items()):
            yield metrics.VERDICTS.of(*verdict, value=count)

    def _of_costs(self) -> Iterator[Sample]:
        for key, cpu_s in sorted(self._cpu_s.items()):
            yield metrics.COST_CPU.of(*key, value=cpu_s)
        for key, money in sorted(self._money.items()):
            yield metrics.COST_MONEY.of(*key, value=money)
