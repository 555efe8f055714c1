"""A search in a working directory: begun, resumed or read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from platform_ctl.errors import BadExperiment, HomeBusy, UnknownName
from platform_ctl.folders import make_private
from platform_ctl.home.environment import environment
from platform_ctl.recipe.recipe import Budget
from platform_ctl.tuning.check import check
from platform_ctl.tuning.experiment import Experiment, ExperimentStatus, Trial
from platform_ctl.tuning.local import journal
from platform_ctl.tuning.local.executor import TrialExecutor
from platform_ctl.tuning.local.function import TrialFunction
from platform_ctl.tuning.local.journal import Header, Journal, SearchHistory, StatusLine
from platform_ctl.tuning.metrics import objective_value
from platform_ctl.tuning.port import SearchRecord
from platform_ctl.tuning.progress import (
    End,
    begun,
    is_restartable,
    summarise,
    with_condition,
)

_FORK_S = 2.0
"""A tuner killed while it starts a trial lives on in the lock for some milliseconds: the child
has inherited it and has not yet called exec. Longer than that, somebody is at work."""


@dataclass(frozen=True)
class FolderTuner:
    """Runs searches, each in a folder of its own."""

    project_root: Path
    """Working directory of trials that are processes."""
    money_per_cpu_hour: float = 0.0
    environment: dict[str, str] = field(default_factory=lambda: environment(of_run=True))

    def run(
        self,
        experiment: Experiment,
        *,
        trial: TrialFunction | None,
        workdir: Path,
        budget: Budget,
        seed: int | None = None,
        on_trial: Callable[[Trial], None] = lambda trial: None,
        warm_start: Sequence[Trial] = (),
    ) -> ExperimentStatus:
        """Run, or go on with, the search in ``workdir``.

        ``trial`` None runs the template's Job as a process; a function is called
        as Ray tasks in the Ray this process is connected to, or in this process
        when it is connected to none. Finished trials in ``workdir`` are never
        repeated; a search that has ended is returned as it is. Raises HomeBusy
        when another process runs this search, BadExperiment when ``workdir``
        holds another one.
        """
        check(experiment)
        make_private(workdir)
        with _only_here(workdir):
            return self._run(experiment, trial, workdir, budget, seed, on_trial, warm_start)

    def _run(
        self,
        experiment: Experiment,
        trial: TrialFunction | None,
        workdir: Path,
        budget: Budget,
        seed: int | None,
        on_trial: Callable[[Trial], None],
        warm_start: Sequence[Trial],
    ) -> ExperimentStatus:
        from platform_ctl.tuning.local.search import Search, SearchLimits
        from platform_ctl.tuning.local.suggest import Suggestions

        journal.repair(workdir)
        story = journal.read(workdir)
        with Journal(workdir) as record:
            story = (
                _begin(experiment, seed, record, self.environment.get("PLATFORM_TASK_NAME", ""))
                if story is None
                else _continue(story, experiment, seed, record, workdir)
            )
            if story.status.outcome is not None:
                return story.status
            suggestions = Suggestions(story.experiment, story.seed)
            for earlier in (*warm_start, *(t for t in story.in_order if t.state.is_final)):
                suggestions.recall(earlier.parameters, _score(story.experiment, earlier))
            search = Search(
                story,
                suggestions=suggestions,
                executor=self._executor(story.experiment, trial),
                journal=record,
                limits=SearchLimits(budget, self.money_per_cpu_hour),
                workdir=workdir,
                on_trial=on_trial,
            )
            return search.run()

    def read(self, workdir: Path) -> SearchRecord:
        """The search in ``workdir``, finished or not. Raises UnknownName when there is none."""
        story = journal.read(workdir)
        if story is None:
            raise UnknownName(
                "there is no search here", where=str(workdir), fix="platform-ctl run list"
            )
        status = story.status
        if status.outcome is None:  # it runs, or was killed: the journal has its trials only
            now = datetime.now(UTC)
            status = summarise(story.experiment, story.in_order, before=status, now=now)
        location = str(workdir.resolve())
        return SearchRecord(story.experiment, status, story.in_order, story.seed, location)

    def _executor(self, experiment: Experiment, trial: TrialFunction | None) -> TrialExecutor:
        if trial is None:
            from platform_ctl.tuning.local.job_process import JobExecutor

            return JobExecutor(experiment, cwd=self.project_root, environment=self.environment)
        metrics = experiment.spec.objective.metric_names
        if _connected_to_ray():
            from platform_ctl.tuning.local.ray_tasks import RayExecutor

            return RayExecutor(trial, metrics)
        from platform_ctl.tuning.local.inline import InlineExecutor

        return InlineExecutor(trial, metrics)


@contextlib.contextmanager
def _only_here(workdir: Path) -> Iterator[None]:
    """Hold the search's lock. Raises HomeBusy when another process does."""
    lock = FileLock(workdir / "lock", timeout=_FORK_S)
    try:
        lock.acquire()
    except Timeout as exc:
        raise HomeBusy(
            "another process runs this search",
            where=str(workdir),
            fix="wait for it, or platform-ctl experiment show",
        ) from exc
    try:
        yield
    finally:
        lock.release()


def _connected_to_ray() -> bool:
    import sys

    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def _score(experiment: Experiment, trial: Trial) -> float | None:
    usable = trial.state in ("Succeeded", "EarlyStopped")
    return objective_value(experiment.spec.objective, trial.observation) if usable else None


def _begin(experiment: Experiment, seed: int | None, record: Journal, task: str) -> SearchHistory:
    if seed is None:
        seed = int(experiment.spec.algorithm.settings.get("random_state", 0))
    story = SearchHistory(experiment, seed, task, status=begun(datetime.now(UTC)))
    record.write(Header(msgspec.to_builtins(experiment), seed, task))
    record.write(StatusLine(story.status))
    return story


def _continue(
    story: SearchHistory, experiment: Experiment, seed: int | None, record: Journal, workdir: Path
) -> SearchHistory:
    """Resume, restart with more trials, or return what has ended. Raises BadExperiment."""
    same = story.experiment.spec.frozen_part() == experiment.spec.frozen_part()
    if not same or (seed is not None and seed != story.seed):
        raise BadExperiment(
            "this search exists with another spec or seed; only parallelTrialCount, "
            "maxTrialCount and maxFailedTrialCount may change",
            where=str(workdir),
            fix=f"platform-ctl experiment run FILE --name {experiment.name}-2",
        )
    ended = story.status.outcome is not None
    counts_changed = story.experiment.spec != experiment.spec
    if ended and not counts_changed:
        return story
    if ended:
        _require_restart(story, experiment, workdir)
        restart = End("Restarting", "ExperimentRestarting", "restarted with more trials")
        story.status = with_condition(story.status, restart, now=datetime.now(UTC))
        running = End("Running", "ExperimentRunning", "running")
        story.status = with_condition(story.status, running, now=datetime.now(UTC))
    if counts_changed:
        story.experiment = experiment
        record.write(Header(msgspec.to_builtins(experiment), story.seed, story.task))
        record.write(StatusLine(story.status, story.used_wall_s))
    return story


def _require_restart(story: SearchHistory, experiment: Experiment, workdir: Path) -> None:
    limit = experiment.spec.max_trial_count
    more = limit is None or limit > len(story.trials)
    if not is_restartable(story.experiment, story.status) or not more:
        raise BadExperiment(
            "a search that has ended goes on only if it ended at maxTrialCount, "
            "maxTrialCount is raised, and resumePolicy is LongRunning or FromVolume",
            where=str(workdir),
            fix=f"platform-ctl experiment run FILE --name {experiment.name}-2",
        )
