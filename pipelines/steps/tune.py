"""The recipe's Katib Experiment, run by the target's tuner within the recipe's budget."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_ctl import targets
from platform_ctl.operations.find_search import FOLDER
from recipes.train_deploy import train
from recipes.train_deploy.recipe import BUDGET, EXPERIMENT_FILE

if TYPE_CHECKING:
    from kfp import dsl


def run(
    rows: dsl.Dataset, max_trials: int, seed: int, search: dsl.Artifact
) -> tuple[dict[str, Any], str]:
    """-> best parameters (strings, as Katib assigns them), one line about the search.

    The search lives in the run's folder, so that a resumed run repeats no trial.
    """
    settings = targets.current_settings()
    tuner = targets.tuner(settings)
    experiment = tuner.load(Path(train.__file__).with_name(EXPERIMENT_FILE))
    workdir = Path(os.environ.get("PLATFORM_RUN_DIR", Path(search.path).parent)) / FOLDER
    with targets.training(settings).connect():
        status = tuner.run(
            experiment,
            trial=partial(train.run_trial, rows_path=rows.path),
            workdir=workdir,
            budget=replace(BUDGET, trials=min(max_trials, BUDGET.trials or max_trials)),
            seed=seed,
        )
        found = tuner.read(workdir)
        targets.charge_search(settings, found)
    targets.log_search(settings, found, os.environ.get("PLATFORM_RUN_ID", ""))
    Path(search.path).write_text(json.dumps(status.to_json(), indent=2), encoding="utf-8")
    best = status.best_parameters()
    chosen = ", ".join(f"{name} {float(value):.3g}" for name, value in best.items())
    return best, f"best of {status.trials} trials: {chosen}"
