"""The recipe's Katib Experiment, run by the target's tuner within the recipe's budget."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from platform_ctl import targets
from platform_ctl.recipe.recipe import Budget
from platform_ctl.training.call import reference

if TYPE_CHECKING:
    from kfp import dsl


def run(
    trial: Callable[..., dict[str, float]],
    experiment_file: str,
    budget: Budget,
    rows: dsl.Dataset,
    max_trials: int,
    seed: int,
    search: dsl.Artifact,
) -> tuple[dict[str, Any], str]:
    """-> best parameters (strings, as Katib assigns them), one line about the search.

    ``experiment_file`` lies beside the trial's module. The search has the run's id, so
    that a resumed run repeats no trial.
    """
    settings = targets.current_settings()
    described = targets.tuner(settings).load(
        Path(inspect.getfile(trial)).with_name(experiment_file)
    )
    experiment = replace(described, spec=described.spec.with_max_trials(max_trials))
    record = targets.tune(
        settings,
        experiment,
        reference(trial),
        inputs={"rows_path": rows.path},
        budget=budget,
        seed=seed,
    )
    status = record.status
    Path(search.path).write_text(json.dumps(status.to_json(), indent=2), encoding="utf-8")
    best = status.best_parameters()
    chosen = ", ".join(f"{name} {float(value):.3g}" for name, value in best.items())
    return best, f"best of {status.trials} trials: {chosen}"
