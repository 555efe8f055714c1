"""The recipe's Katib Experiment, run by the target's tuner within the recipe's budget."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from platform_ctl import targets
from platform_ctl.recipe.recipe import resolve

if TYPE_CHECKING:
    from kfp import dsl


def run(
    function: str,
    experiment: str,
    budget: str,
    rows: dsl.Dataset,
    max_trials: int,
    seed: int,
    search: dsl.Artifact,
) -> tuple[dict[str, Any], str]:
    """``function``: the recipe's ``trial``, ``budget``: its Budget, both by reference;
    ``experiment``: the file of the Experiment, beside the trial's module.

    -> best parameters (strings, as Katib assigns them), one line about the search. The search has
    the run's id, so that a resumed run repeats no trial.
    """
    settings = targets.current_settings()
    file = Path(inspect.getfile(resolve(function))).with_name(Path(experiment).name)
    described = targets.tuner(settings).load(file)
    record = targets.tune(
        settings,
        replace(described, spec=described.spec.with_max_trials(max_trials)),
        function,
        inputs={"rows_path": rows.path},
        budget=resolve(budget),
        seed=seed,
    )
    status = record.status
    Path(search.path).write_text(json.dumps(status.to_json(), indent=2), encoding="utf-8")
    best = status.best_parameters()
    chosen = ", ".join(f"{name} {float(value):.3g}" for name, value in best.items())
    return best, f"best of {status.trials} trials: {chosen}"
