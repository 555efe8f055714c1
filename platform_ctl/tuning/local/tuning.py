"""Searches on this machine: trials in the run's Ray, or as processes of their Job's command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from platform_ctl.recipe.recipe import Budget
from platform_ctl.settings import HomeLayout
from platform_ctl.training.call import resolve
from platform_ctl.training.local.training import local_path
from platform_ctl.tuning import document, find_search
from platform_ctl.tuning.experiment import Experiment, ExperimentStatus, Trial
from platform_ctl.tuning.local.folder import FolderTuner
from platform_ctl.tuning.port import SearchRecord


@dataclass(frozen=True)
class LocalTuner:
    """Implements tuning.port.Tuner; the search ``ID`` lives in a folder of the home."""

    layout: HomeLayout
    folders: FolderTuner
    connect: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    """Connects this process to the Ray in which trials that are functions run."""
    charge: Callable[[SearchRecord], None] = lambda record: None
    """Told, while Ray is still connected, what a search of functions has used."""

    def load(self, path: Path) -> Experiment:
        return document.load(path)

    def run(
        self,
        experiment: Experiment,
        *,
        search: str,
        trial: str = "",
        inputs: Mapping[str, str] | None = None,
        budget: Budget,
        seed: int | None = None,
        on_trial: Callable[[Trial], None] = lambda trial: None,
        warm_start: Sequence[Trial] = (),
    ) -> ExperimentStatus:
        workdir = self._folder(search)
        paths = {name: str(local_path(uri)) for name, uri in (inputs or {}).items()}
        function = partial(resolve(trial), **paths) if trial else None
        with self.connect() if function else contextlib.nullcontext():
            status = self.folders.run(
                experiment,
                trial=function,
                workdir=workdir,
                budget=budget,
                seed=seed,
                on_trial=on_trial,
                warm_start=warm_start,
            )
            if function:
                self.charge(self.folders.read(workdir))
        return status

    def read(self, search: str) -> SearchRecord:
        return self.folders.read(self._folder(search))

    def find(self, reference: str) -> str:
        folder = find_search.find_search(self.layout, reference)
        of_run = folder.parent.parent == self.layout.runs
        return folder.parent.name if of_run else folder.name

    def end_run(self, run_id: str) -> None:
        """Nothing: trials end with the process of their search, and records with the run."""

    def _folder(self, search: str) -> Path:
        """Of a run's search in the run's folder, of any other among the searches."""
        run = self.layout.runs / search
        return run / find_search.FOLDER if run.is_dir() else self.layout.root / "tuning" / search
