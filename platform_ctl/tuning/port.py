"""The tuner: runs one Katib Experiment to its end, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from platform_ctl.recipe.recipe import Budget
from platform_ctl.tuning.experiment import Experiment, ExperimentStatus, Trial

TrialFunction = Callable[..., Mapping[str, float]]
"""``function(params: dict[str, str], *, report) -> metrics``; ``report(metrics)`` once an epoch."""


@dataclass(frozen=True)
class SearchRecord:
    """A search as its working directory holds it."""

    experiment: Experiment
    status: ExperimentStatus
    trials: Sequence[Trial]
    seed: int
    workdir: Path


class Tuner(Protocol):
    def load(self, path: Path) -> Experiment:
        """Read and check an Experiment file. Raises BadExperiment, UnsupportedAlgorithm."""

    def run(
        self,
        experiment: Experiment,
        *,
        trial: TrialFunction | None,
        workdir: Path,
        budget: Budget,
        seed: int | None = None,
        on_trial: Callable[[Trial], None] = ...,
        warm_start: Sequence[Trial] = (),
    ) -> ExperimentStatus:
        """Run, or go on with, the search in ``workdir``.

        ``trial`` None runs the template's Job as a process; a function is called
        as Ray tasks in the Ray this process is connected to, or in this process
        when it is connected to none. Finished trials in ``workdir`` are never
        repeated; a search that has ended is returned as it is. ``seed`` None
        means the Experiment's ``random_state``. ``warm_start`` trials inform the
        suggestions and are not part of the result. Raises HomeBusy when another
        process runs this search, BadExperiment when ``workdir`` holds another one.
        """

    def read(self, workdir: Path) -> SearchRecord:
        """The search in ``workdir``, finished or not. Raises UnknownName when there is none."""
