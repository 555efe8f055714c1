"""The search of a task: its trials go to the task's log, and what they used to the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from platform_ctl.progress import write
from platform_ctl.recipe.recipe import Budget
from platform_ctl.runs.spent import Spent
from platform_ctl.tuning.experiment import Experiment
from platform_ctl.tuning.port import SearchRecord, Tuner
from platform_ctl.tuning.progress import TrialLines, cut_short, finished_trials, wall_s


@dataclass(frozen=True)
class Search:
    """``trial`` is ``module:function``; the same id takes up a search that was interrupted."""

    id: str
    experiment: Experiment
    trial: str
    inputs: Mapping[str, str]
    budget: Budget
    seed: int


def run_search(tuner: Tuner, search: Search, spent: Callable[[Spent], None]) -> SearchRecord:
    """Run it to its end; each trial that ends is a line on standard output."""
    ended = finished_trials(lambda: tuner.read(search.id).trials)
    tuner.run(
        search.experiment,
        search=search.id,
        trial=search.trial,
        inputs=search.inputs,
        budget=search.budget,
        seed=search.seed,
        on_trial=TrialLines(search.experiment, write, ended),
    )
    record = tuner.read(search.id)
    spent(spent_on(record))
    return record


def spent_on(record: SearchRecord) -> Spent:
    """What the trials of a search used together."""
    return Spent(
        "tune",
        wall_s(record.status),
        sum(trial.cpu_s for trial in record.trials),
        trials=record.status.trials,
        note=cut_short(record.status),
    )
