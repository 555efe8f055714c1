"""Computes the importance of each hyperparameter of a search."""

from __future__ import annotations

from collections.abc import Sequence

import optuna

from platform_ctl.tuning.experiment import Experiment, Trial
from platform_ctl.tuning.progress import scored

MIN_TRIALS = 4
"""Fewer scored trials say nothing about importance."""


def importance(experiment: Experiment, trials: Sequence[Trial]) -> dict[str, float]:
    """Share of the score's variance that each parameter explains (fANOVA, Hutter et al. 2014).

    Empty with fewer than MIN_TRIALS scored trials, or when all scores are equal.
    """
    pairs = scored(experiment, trials)
    if len(pairs) < MIN_TRIALS or len({value for _, value in pairs}) == 1:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    numbers = {p.name for p in experiment.spec.parameters if p.is_number}
    study = optuna.create_study(direction=experiment.spec.objective.type)
    space = _seen_space([t for t, _ in pairs], numbers)
    for trial, value in pairs:
        params = {k: float(v) if k in numbers else v for k, v in trial.parameters.items()}
        params = {k: v for k, v in params.items() if k in space}
        study.add_trial(optuna.trial.create_trial(value=value, params=params, distributions=space))
    importances = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    return {name: float(share) for name, share in importances.items()}


def _seen_space(
    trials: Sequence[Trial], numbers: set[str]
) -> dict[str, optuna.distributions.BaseDistribution]:
    """The box of the trials that were seen; a parameter that never varied explains nothing."""
    space: dict[str, optuna.distributions.BaseDistribution] = {}
    for name in trials[0].parameters:
        values = [t.parameters[name] for t in trials]
        if len(set(values)) == 1:
            continue
        if name in numbers:
            seen = [float(v) for v in values]
            log = min(seen) > 0 and max(seen) / min(seen) >= 10
            space[name] = optuna.distributions.FloatDistribution(min(seen), max(seen), log=log)
        else:
            space[name] = optuna.distributions.CategoricalDistribution(sorted(set(values)))
    return space
