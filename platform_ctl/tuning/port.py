"""The tuner: runs one Katib Experiment to its end, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from platform_ctl.recipe.recipe import Budget
from platform_ctl.tuning.experiment import Experiment, ExperimentStatus, Trial


@dataclass(frozen=True)
class SearchRecord:
    """A search as its target holds it."""

    experiment: Experiment
    status: ExperimentStatus
    trials: Sequence[Trial]
    seed: int
    location: str
    """Where its records are: a folder, or the Experiment's address on the API server."""


class Tuner(Protocol):
    """Runs searches. On a cluster every method but ``load`` may raise ClusterUnavailable."""

    def load(self, path: Path) -> Experiment:
        """Read and check an Experiment file. Raises BadExperiment, UnsupportedAlgorithm."""

    def run(
        self,
        experiment: Experiment,
        *,
        search: str,
        trial: str = "",
        inputs: Mapping[str, str] | None = None,
        budget: Budget,
        seed: int | None = None,
        on_trial: Callable[[Trial], None] = ...,
        warm_start: Sequence[Trial] = (),
    ) -> ExperimentStatus:
        """Run, or go on with, the search of that id.

        ``trial`` is ``module:function``, called for each trial as
        ``function(params, report=..., NAME=path of each input)``: ``params`` are the
        assignments as text, ``report(metrics)`` is called once an epoch, and the
        function returns its metrics. Without it each trial is the template's own
        command. ``inputs`` are URIs, or paths on this machine, by argument name.

        Finished trials are never repeated; a search that has ended is returned as
        it is. ``seed`` None means the Experiment's ``random_state``. ``warm_start``
        trials inform the suggestions and are not part of the result. Raises
        HomeBusy when another process runs this search, BadExperiment when the id
        names a search with another spec, Unsupported for what the target cannot do.
        """

    def read(self, search: str) -> SearchRecord:
        """The search of that id, finished or not. Raises UnknownName when there is none."""

    def find(self, reference: str) -> str:
        """The id of a search: an Experiment's name, a run id, its unique prefix, ``latest``.

        Raises UnknownName, naming what is near, or NothingYet.
        """

    def end_run(self, run_id: str) -> None:
        """End and remove whatever is left of the searches of a run. Idempotent."""
